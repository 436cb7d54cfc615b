// Measures async-append-only-log ("async flumelog") and flumelog-aligned-offset as bench-flumelog
// 2.0.0 does: 1,000 records of about 155 bytes, picked at random.
//
//   node bench.js --log aaol|aligned --dir DIR --workload append|drained|... [--seconds 5]
//   node bench.js --log aaol|aligned --dir DIR --prepare N
//
//   append    16 in flight; the rate at which the log says "done". What follows is "drained_rate"
//   drained   the same, and the time goes on until everything is on the disk
//   stream    one scan from the beginning
//   stream10  ten scans at once, counted together
//   random    gets of records picked at random, 1,024 in flight
//   prepare   makes a log of N records, drained, for the workloads that read
//
// DIR must be empty for what writes, and hold the log of an earlier run for what reads. A scan
// ends at the end of the log if that comes before the time is over. What was read is checked: how
// much a whole scan saw, and that a get gives the record that a scan saw there.

'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { performance } = require('node:perf_hooks')
const { parseArgs } = require('node:util')
const logs = require('./logs.js')

const appendsInFlight = 16
const getsInFlight = 1024
const preparedAtOnce = 100000

const writers = { append: runAppend, drained: runAppend, prepare: runPrepare }
const readers = {
  stream: (log, options, made) => runScans(log, options, made, 1),
  stream10: (log, options, made) => runScans(log, options, made, 10),
  random: runRandom,
}

function makeRecords() {
  const records = []
  for (let seq = 0; seq < 1000; seq++) {
    const record = {
      seq,
      random: Math.random(),
      time: new Date().toString(),
      foo: { bar: Math.random() < 0.5, length: 0 },
    }
    record.length = JSON.stringify(record).length
    record.length = JSON.stringify(record).length // now with its own digits
    records.push(Buffer.from(JSON.stringify(record)))
  }
  return records
}

// Four digits of the random number that is in every record.
const fingerprint = (data) => data.readUInt32LE(24)

const pick = (list) => list[Math.floor(Math.random() * list.length)]

const secondsSince = (start) => (performance.now() - start) / 1000

// Calls start(done) again and again, so that `width` are in flight, for some seconds. Resolves to
// how many were done and in what time. As in bench-flumelog, a log that is done at once never gets
// back to the event loop.
function keepInFlight(width, seconds, start) {
  return new Promise((resolve, reject) => {
    const begin = performance.now()
    let inFlight = 0
    let count = 0
    let measured = null
    let starting = false
    const more = () => {
      if (starting) return
      starting = true
      while (inFlight < width && !measured) {
        inFlight++
        start(done)
      }
      starting = false
      if (measured && inFlight === 0) resolve(measured)
    }
    const done = (error) => {
      if (error) return reject(error)
      inFlight--
      count++
      if (!measured && count % 16 === 0) {
        const elapsed = secondsSince(begin)
        if (elapsed >= seconds) measured = { count, seconds: elapsed }
      }
      more()
    }
    more()
  })
}

async function runAppend(log, { seconds, workload }) {
  const records = makeRecords()
  const begin = performance.now()
  const made = { count: 0, bytes: 0 }
  const accepted = await keepInFlight(appendsInFlight, seconds, (done) => {
    const record = pick(records)
    made.count++
    made.bytes += record.length
    log.append(record, done)
  })
  await log.sync()
  const drained = { count: made.count, seconds: secondsSince(begin) }
  if (workload === 'drained') return { made, measured: drained }
  const extras = { drained_rate: drained.count / drained.seconds, drained_seconds: drained.seconds }
  return { made, measured: accepted, extras }
}

async function runPrepare(log, { prepare }) {
  const records = makeRecords()
  const begin = performance.now()
  const made = { count: 0, bytes: 0 }
  while (made.count < prepare) {
    const some = []
    while (some.length < preparedAtOnce && made.count + some.length < prepare) {
      const record = pick(records)
      made.bytes += record.length
      some.push(record)
    }
    made.count += some.length
    log.appendAll(some)
    await log.sync()
  }
  return { made, measured: { count: made.count, seconds: secondsSince(begin) } }
}

async function runScans(log, { seconds }, made, scans) {
  const begin = performance.now()
  let over = false
  let count = 0
  const scanOne = async () => {
    const seen = { count: 0, bytes: 0 }
    await log.scan((offset, data) => {
      seen.count++
      seen.bytes += data.length
      count++
      if (count % 64 === 0 && secondsSince(begin) >= seconds) over = true
      return !over
    })
    if (!over) checkSame(seen, made)
  }
  await Promise.all(Array.from({ length: scans }, scanOne))
  return { measured: { count, seconds: secondsSince(begin) } }
}

async function runRandom(log, { seconds }, made) {
  const offsets = new Float64Array(made.count)
  const fingerprints = new Uint32Array(made.count)
  const seen = { count: 0, bytes: 0 }
  await log.scan((offset, data) => {
    offsets[seen.count] = offset
    fingerprints[seen.count] = fingerprint(data)
    seen.count++
    seen.bytes += data.length
    return true
  })
  checkSame(seen, made)
  const measured = await keepInFlight(getsInFlight, seconds, (done) => {
    const index = Math.floor(Math.random() * offsets.length)
    log.get(offsets[index], (error, data) => {
      if (!error && fingerprint(data) !== fingerprints[index]) {
        error = new Error('a wrong record was read')
      }
      done(error)
    })
  })
  return { measured }
}

function checkSame(seen, made) {
  if (seen.count === made.count && seen.bytes === made.bytes) return
  throw new Error(`${seen.count} records of ${seen.bytes} bytes were read, ` +
      `${made.count} of ${made.bytes} were appended`)
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      log: { type: 'string' },
      dir: { type: 'string' },
      workload: { type: 'string' },
      seconds: { type: 'string', default: '5' },
      prepare: { type: 'string' },
    },
  })
  const options = { ...values, seconds: Number(values.seconds), prepare: Number(values.prepare) }
  if (values.prepare !== undefined && values.workload === undefined) options.workload = 'prepare'
  const known = Object.hasOwn(writers, options.workload) || Object.hasOwn(readers, options.workload)
  const countIsRight = options.workload === 'prepare'
    ? Number.isInteger(options.prepare) && options.prepare > 0
    : values.prepare === undefined
  if (!logs.names.includes(options.log) || !options.dir || !known || !countIsRight ||
      !(options.seconds > 0)) {
    throw new Error('bad options, see the head of bench.js')
  }
  return options
}

async function main() {
  const options = readOptions()
  const madeFile = path.join(options.dir, 'made.json') // what the log must have
  const writes = Object.hasOwn(writers, options.workload)
  if (writes && fs.readdirSync(options.dir).length !== 0) {
    throw new Error(`${options.dir} is not empty`)
  }
  const made = writes ? null : JSON.parse(fs.readFileSync(madeFile))
  if (made && made.log !== options.log) throw new Error(`${options.dir} has another log`)

  const log = await logs.open(options.log, options.dir)
  const run = writes ? writers[options.workload] : readers[options.workload]
  const result = await run(log, options, made)
  await log.close()
  if (writes) fs.writeFileSync(madeFile, JSON.stringify({ log: options.log, ...result.made }))
  const { count, seconds } = result.measured
  console.log(JSON.stringify({ rate: count / seconds, seconds, count, ...result.extras }))
}

// A log that forgets to answer would leave nothing to wait for: that is not success.
process.exitCode = 1
main().then(
  () => {
    process.exitCode = 0
  },
  (error) => {
    console.error(`flumelog: ${error.message}`)
  },
)
