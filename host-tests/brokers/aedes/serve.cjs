// A server over aedes, a broker of MQTT 3.1.1, which is reached over WebSocket too: serve.cjs MODULES ADDRESS PORT WEB_PORT
'use strict'

const { createRequire } = require('node:module')
const net = require('node:net')

const [modules, address, port, webPort] = process.argv.slice(2)
const load = createRequire(`${modules}/`)
const { Aedes } = load('aedes')
const { WebSocketServer, createWebSocketStream } = load('ws')

const listening = (listen) => new Promise((resolve, reject) => listen(resolve).on('error', reject))

Aedes.createBroker().then(async (broker) => {
  await listening((then) => net.createServer(broker.handle).listen(Number(port), address, then))
  const handleProtocols = (offered) => offered.has('mqtt') && 'mqtt'
  const options = { host: address, port: Number(webPort), path: '/mqtt', handleProtocols }
  const accept = (socket, request) => broker.handle(createWebSocketStream(socket), request)
  await listening((then) => new WebSocketServer(options, then).on('connection', accept))
  console.error('running')
})
