// What smack's ingest does, by Node's http and JSON.parse: node.js PORT FILE takes events of the article by POST on 127.0.0.1 (HTTP/2 on PORT + 1), checks them,
// appends them to FILE and answers 202 after fdatasync. Requests that come while one sync is under way share the next.
'use strict';
const fs = require('fs'), http = require('http'), http2 = require('http2');

const fd = fs.openSync(process.argv[3], 'a', 0o600);
const port = Number(process.argv[2]);
const UUID = /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/;
const FIELDS = ['id', 'ad_id', 'campaign', 'ts', 'type'];

function check(line) {
	const e = JSON.parse(line);
	if (typeof e !== 'object' || e === null || Array.isArray(e))
		throw new Error('an event is an object');
	for (const name in e)
		if (!FIELDS.includes(name))
			throw new Error('there is no ' + name);
	for (const name of ['id', 'ad_id', 'campaign'])
		if (typeof e[name] !== 'string' || !UUID.test(e[name]))
			throw new Error(name + ' is a UUID');
	if (!Number.isInteger(e.ts) || e.ts < 0)
		throw new Error('ts is a time in ms');
	if (e.type !== 'view' && e.type !== 'click')
		throw new Error('type is view or click');
}

let waiting = [], syncing = false;
function sync() {
	const now = waiting;
	if (!now.length) {
		syncing = false;
		return;
	}
	waiting = [];
	syncing = true;
	const end = (err) => {
		for (const w of now)
			w.done(err);
		sync();
	};
	const data = Buffer.concat(now.map((w) => w.lines));
	const write = (at) => fs.write(fd, data, at, data.length - at, null, (err, n) => {
		if (err)
			end(err);
		else if (at + n < data.length)
			write(at + n);
		else
			fs.fdatasync(fd, end);
	});
	write(0);
}

function answer(response, status, text) {
	response.writeHead(status, {'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text)});
	response.end(text);
}

const LF = Buffer.from('\n');
function handle(request, response) {
	const pieces = [];
	request.on('data', (piece) => pieces.push(piece));
	request.on('end', () => {
		let body = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces), count = 0;
		try {
			const text = body.toString();
			if (request.headers['content-type'].startsWith('application/x-ndjson')) {
				for (const line of text.split('\n'))
					if (line) {
						check(line);
						count++;
					}
			} else {
				check(text);
				count = 1;
			}
		} catch (e) {
			answer(response, 400, JSON.stringify({message: e.message}));
			return;
		}
		if (body[body.length - 1] !== 10)
			body = Buffer.concat([body, LF]);
		waiting.push({lines: body, done: (err) => {
			if (err)
				answer(response, 503, JSON.stringify({message: err.message}));
			else
				answer(response, 202, '{"topic":"raw_events","accepted":' + count + '}');
		}});
		if (!syncing)
			sync();
	});
}

const server = http.createServer(handle);
server.keepAliveTimeout = 300000; // its default of 5 s would end the idle connections that are counted
server.listen(port, '127.0.0.1');
http2.createServer(handle).listen(port + 1, '127.0.0.1');
