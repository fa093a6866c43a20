// What Node's parser makes of requests: each is answered with what was understood of it. Prints its port.
const text = ({ request, pieces }) => `${request.method} ${request.url} ${Buffer.concat(pieces).toString('hex')}`
const server = require('http').createServer((request, response) => {
  const seen = { request, pieces: [] }, all = request.socket.seen = request.socket.seen || []
  all.push(seen)
  request.on('data', piece => seen.pieces.push(piece))
  request.on('end', () => {
    response.on('finish', () => all.splice(all.indexOf(seen), 1))
    response.setHeader('Seen', text(seen))
    response.end()
  })
  request.on('error', () => {})
})
// What came whole before the bytes that are no request was understood all the same.
server.on('clientError', (error, socket) => {
  const whole = (socket.seen || []).filter(seen => seen.request.complete)
  for (const { request, pieces } of whole) for (let piece; (piece = request.read());) pieces.push(piece)
  socket.end(whole.map(seen => `HTTP/1.1 200 OK\r\nSeen: ${text(seen)}\r\n\r\n`).join('') + 'HTTP/1.1 400 Bad Request\r\n\r\n')
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
