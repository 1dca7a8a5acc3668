import { moving } from '../shared/handlers.js'
import { exact } from '../shared/shapes.js'

export default moving(exact, 16)
