import { rankOf, suitOf } from '../shared/cards.js'
import { element } from './element.js'

// With the sign for text behind each, so that no browser makes pictures of them.
const signs = ['♠\uFE0E', '♥\uFE0E', '♣\uFE0E', '♦\uFE0E']
const suits = ['spades', 'hearts', 'clubs', 'diamonds']
const ranks = ['A', '2', '3', '4', '5', '6', '7', '8', '9', '10', 'J', 'Q', 'K']

/** A card face up; those of the hand are buttons. */
export function face(card: number, tag: 'div' | 'button'): HTMLElement {
  const rank = ranks[rankOf(card)], suit = suits[suitOf(card)], sign = signs[suitOf(card)]
  const made = element(tag, `card ${suit}`, element('span', 'corner', rank, element('br', ''), sign), element('span', 'sign', sign))
  made.setAttribute('aria-label', `${rank} of ${suit}`)
  return made
}

const backsMax = 12

/** A fan of cards face down. */
export const backs = (count: number): HTMLElement =>
  element('span', 'backs', ...Array.from({ length: Math.min(count, backsMax) }, () => element('i', 'card back')))
