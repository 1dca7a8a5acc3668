# What this project can be asked to do. `make run` and `make test` need Node 20 or 22, npm and make; everything else they get by themselves.
.DEFAULT_GOAL := help
.PHONY: help run run-cluster test soak chaos simulate check bench bench-full bench-smoke cpuprofile flame schema build clean
.SILENT:

PORT ?= 9001
SOURCES := $(shell find src workers schema -type f \( -name '*.ts' -o -name '*.json' \) 2>/dev/null) $(shell find bench test/support -name '*.ts')

help: ## this list
	grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

node_modules/.installed: package.json package-lock.json
	node -e 'const v = +process.versions.node.split(".")[0]; if (v < 20) { console.error("kasagi: needs Node 20 or 22; this is " + process.version); process.exit(2) }'
	echo 'installing packages …'
	npm ci --no-audit --no-fund --loglevel=error
	touch $@

dist/.built: node_modules/.installed $(SOURCES) tsconfig.json scripts/build.mjs
	node scripts/build.mjs

run: dist/.built ## start the examples on port 9001 (PORT=…)
	PORT=$(PORT) node dist/src/cli.js serve examples/arena examples/counter examples/cards

run-cluster: dist/.built ## three instances on one Redis, from port 9001 on (PORT=…)
	PORT=$(PORT) node scripts/run-cluster.mjs

build: dist/.built ## compile everything to dist/

test: dist/.built ## all tests
	node scripts/test.mjs

soak: dist/.built ## rooms opened and abandoned, clients cut; ten minutes
	LONG=1 npx vitest run test/soak

chaos: dist/.built ## the long form of every test with faults or large counts
	LONG=1 npx vitest run

simulate: node_modules/.installed ## ownership, simulated: SEEDS=20000 FROM=1, or SEED=7
	node scripts/simulate.mjs

check: dist/.built ## types, and generated code against schema/*.fbs
	npx tsc -p tsconfig.check.json
	node schema/generate.mjs --check
	echo 'types and generated code are as they should be'

bench: dist/.built ## measure beside peers; ONLY=delta runs one; bench/results
	node scripts/bench.mjs

bench-full: dist/.built ## the same with growth and the highest client counts, 31 min
	FULL=1 node scripts/bench.mjs

bench-smoke: dist/.built ## shows within a minute that every bench works
	SMOKE=1 node scripts/bench.mjs

flame: dist/.built ## flame graphs: main thread under load, a room's loop; .clinic
	for script in under-load room-loop; do NO_INSIGHT=1 npx --yes clinic@13.0.0 flame --open=false --dest .clinic --name $$script -- node dist/bench/$$script.js || exit 1; done

cpuprofile: dist/.built ## V8 profiles of all threads under load; in .cpuprofile
	node scripts/cpuprofile.mjs

schema: node_modules/.installed ## generate code from schema/*.fbs
	node schema/generate.mjs

clean: ## remove what was built
	rm -rf dist .clinic .cpuprofile
