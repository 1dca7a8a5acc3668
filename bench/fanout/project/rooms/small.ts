import { moving } from '../shared/handlers.js'
import { small } from '../shared/shapes.js'

export default moving(small, 64)
