import { defineRoom } from 'kasagi-engine'
import { counter } from '../shared/counter.js'

export default defineRoom(counter, {
  tickHz: 0,
  onInput: {
    add(room, _session, { by }) { room.globals.count += by },
  },
})
