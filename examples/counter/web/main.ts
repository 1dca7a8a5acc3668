import { connect } from 'kasagi-engine/client'
import { counter } from '../shared/counter.js'

const room = await connect(location.origin).join(counter, { name: 'main' })
const show = (): void => { document.querySelector('output')!.textContent = String(room.globals.count) }

room.onFlush(show)
show()
document.querySelector('button')!.onclick = () => room.send('add', { by: 1 })
