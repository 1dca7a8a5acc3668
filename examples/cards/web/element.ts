/** An element with a class and what stands in it. */
export function element<K extends keyof HTMLElementTagNameMap>(tag: K, name: string, ...inside: (string | Node)[]): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag)
  made.className = name
  made.append(...inside)
  return made
}

export const find = <T extends Element = HTMLElement>(selector: string): T => document.querySelector<T>(selector)!
