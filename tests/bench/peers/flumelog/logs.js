// The two logs, behind the same few verbs:
//
//   append(data, done)   done(error) when the log says so
//   appendAll(list)      without being told
//   sync()               resolves when everything appended is on the disk
//   scan(each)           calls each(offset, data) for every record; each returns false to stop
//   get(offset, done)    done(error, data)
//   close()

'use strict'

const fs = require('node:fs')
const path = require('node:path')
const AlignedOffset = require('flumelog-aligned-offset')
const AsyncAppendOnlyLog = require('async-append-only-log')

const fileName = 'log'

exports.names = ['aaol', 'aligned']

// Opens the log of that name in `dir`; it is made if there is none.
exports.open = (name, dir) =>
  (name === 'aaol' ? openAaol : openAligned)(path.join(dir, fileName))

async function openAaol(file) {
  const log = AsyncAppendOnlyLog(file, { blockSize: 64 * 1024 })
  await new Promise((resolve) => log.onDrain(resolve)) // loaded
  return {
    append: log.append,
    appendAll: (list) => log.append(list, fail),
    sync: () => new Promise((resolve) => log.onDrain(resolve)),
    scan: (each) => scan(log.stream(), (record) => each(record.offset, record.value)),
    get: log.get,
    close: () => new Promise((resolve, reject) => log.close(settle(resolve, reject))),
  }
}

async function openAligned(file) {
  const log = AlignedOffset(file, { blockSize: 64 * 1024 })
  await new Promise((resolve) => log.onReady(resolve))
  // The log calls those who wait for its drain after every block, though more are to come. It
  // calls at once only if nothing is left.
  const drain = (done) => {
    let atOnce = true
    log.onDrain(() => (atOnce ? done() : drain(done)))
    atOnce = false
  }
  return {
    append: log.append,
    appendAll: (list) => log.append(list, false, fail),
    async sync() {
      await new Promise((resolve) => drain(resolve))
      syncFile(file) // the log itself never does
    },
    scan: (each) => scan(log.stream(), (record) => each(record.seq, record.value)),
    get: log.get,
    close: () => new Promise((resolve) => log.close(resolve)),
  }
}

// Reads a stream to its end, or until each() returns false.
function scan(stream, each) {
  return new Promise((resolve, reject) => {
    const sink = {
      paused: false,
      write(record) {
        if (each(record)) return
        sink.paused = true // the log stops, and calls no more
        resolve()
      },
      end: settle(resolve, reject),
    }
    stream.pipe(sink)
  })
}

function syncFile(file) {
  const fd = fs.openSync(file, 'r')
  fs.fsyncSync(fd)
  fs.closeSync(fd)
}

function fail(error) {
  if (error) throw error
}

function settle(resolve, reject) {
  return (error) => (error ? reject(error) : resolve())
}
