import { moving } from '../shared/handlers.js'
import { crowd } from '../shared/shapes.js'

export default moving(crowd, 8192)
