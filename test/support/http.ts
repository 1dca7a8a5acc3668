/** Asks a server for a page by Node's own client, which keeps every header as it is and knows certificates that nobody signed. */
import { request as askHttp, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { request as askHttps } from 'node:https'

export interface Question { readonly port: number; readonly isTls: boolean; readonly path: string; readonly method?: string; readonly headers?: Record<string, string> }
export interface Answer { readonly status: number; readonly statusText: string; readonly headers: IncomingHttpHeaders; readonly body: string }

export function ask({ port, isTls, path, method = 'GET', headers = {} }: Question): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = (isTls ? askHttps : askHttp)({ host: '127.0.0.1', port, path, method, headers, agent: false, rejectUnauthorized: false })
    asked.on('response', (response: IncomingMessage) => {
      let body = ''
      response.setEncoding('utf8').on('data', (part: string) => { body += part })
      response.on('end', () => resolve({ status: response.statusCode!, statusText: response.statusMessage!, headers: response.headers, body }))
    })
    asked.on('error', reject)
    asked.end()
  })
}
