/**
 * The drawn layout of an arena: one shared memory per worker, in which everything lies that must outlive the thread.
 * Addresses are bytes from the start of the memory; all numbers little-endian.
 *
 *        0  magic        version      arenaBytes   worker
 *       16  generation   armed        wake         highWaterBlocks   generation: of the writing thread. armed: a doorbell is under way
 *       32  markRoom     markHandler  markNumberLow  markNumberHigh  what author code is running, 0 outside it
 *       48  turns        faultFired   openDeathRoom openDeaths       turns of the worker's loop: it lives while this moves. openDeath…:
 *                                                                  the room whose opening has ended threads, and how many
 *       64  faultHandler faultNumber  -            -                 where a random fault last ended a thread: tests only
 *     4096  block table: roomsPerWorkerMax entries of 16 bytes
 *               state (0 free, 1 open)   roomKey   address / blockBytesMin   log2 of bytes
 *           input ring    header 64, then inputRingBytes                     written by the socket thread
 *           output ring   header 64, then outputRingBytes                    written by the worker
 *           scratch       scratchBytes                                       the worker's own, kept over no call
 *           blocks        power-of-two sizes, each aligned to its size
 */
import { inputRingBytes, outputRingSlots, roomsPerWorkerMax } from '../base/limits.js'

export const arenaMagic = 0x4153414b // 'KASA'
export const arenaVersion = 1

export const atMagic = 0
export const atVersion = 4
export const atArenaBytes = 8
export const atWorker = 12
export const atGeneration = 16
export const atArmed = 20
export const atWake = 24
export const atHighWater = 28
export const atMarkRoom = 32
export const atMarkHandler = 36
export const atMarkNumberLow = 40
export const atMarkNumberHigh = 44
export const atTurns = 48
export const atFaultFired = 52
export const atOpenDeathRoom = 56
export const atOpenDeaths = 60

export const atBlockTable = 4096
export const blockEntryBytes = 16

export const ringHeaderBytes = 64
export const outputRingBytes = outputRingSlots * 64
export const scratchBytes = 1024 * 1024

export const atInputRing = atBlockTable + roomsPerWorkerMax * blockEntryBytes
export const atOutputRing = atInputRing + ringHeaderBytes + inputRingBytes
export const atScratch = atOutputRing + ringHeaderBytes + outputRingBytes
export const atBlocks = atScratch + scratchBytes
