package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/transparency-dev/tessera"
	"golang.org/x/sync/errgroup"
)

// An appended entry, as its writer saw it.
type appended struct {
	index    uint64
	latency  time.Duration
	resolved time.Duration // since the start
}

type measurement struct {
	duration time.Duration
	entries  []appended // all, also those that resolved too late to count
}

type result struct {
	Rate    float64 `json:"rate"`
	Seconds float64 `json:"seconds"`
	Count   int     `json:"count"`
	P50     int64   `json:"p50_us"`
	P99     int64   `json:"p99_us"`
	Max     int64   `json:"max_us"`
}

// Appends for the given time, and waits until everything has resolved.
//
// Tessera has one batch in the hands of the goroutine that writes, one in a queue, and one that is
// being filled; Add blocks when a third is full. So three batches less one entry are outstanding:
// there is always a full batch to write, and nobody waits in Add. Two writers that keep half of
// them each cost half the processor time of one goroutine for each entry outstanding.
func measure(ctx context.Context, add tessera.AddFn, o options) (measurement, error) {
	outstanding, writers := 1, 1
	if o.batch > 1 {
		outstanding, writers = 3*int(o.batch)-1, 2
	}
	m := measurement{duration: time.Duration(o.seconds * float64(time.Second))}
	perWriter := make([][]appended, writers)
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for i := range writers {
		w := writer{
			add:      add,
			start:    start,
			duration: m.duration,
			window:   outstanding*(i+1)/writers - outstanding*i/writers,
			entry: func(number uint64) []byte {
				return newEntry(uint64(i)<<48|number, o.entryLength)
			},
		}
		group.Go(func() error {
			var err error
			perWriter[i], err = w.write(ctx)
			return err
		})
	}
	err := group.Wait()
	m.entries = slices.Concat(perWriter...)
	return m, err
}

type writer struct {
	add      tessera.AddFn
	start    time.Time
	duration time.Duration
	window   int // entries outstanding
	entry    func(number uint64) []byte
}

// Keeps `window` entries outstanding, waits for the oldest, and adds another.
func (w writer) write(ctx context.Context) ([]appended, error) {
	type pending struct {
		future tessera.IndexFuture
		added  time.Duration
	}
	var done []appended
	ring := make([]pending, w.window)
	added := 0 // len(done) of them have resolved
	for {
		now := time.Since(w.start)
		if now < w.duration && added-len(done) < w.window {
			entry := tessera.NewEntry(w.entry(uint64(added)))
			ring[added%w.window] = pending{w.add(ctx, entry), now}
			added++
			continue
		}
		if added == len(done) {
			return done, nil
		}
		oldest := &ring[len(done)%w.window]
		index, err := oldest.future()
		if err != nil {
			return done, err
		}
		now = time.Since(w.start)
		done = append(done, appended{index.Index, now - oldest.added, now})
	}
}

// An entry that no other one equals.
func newEntry(number uint64, length int) []byte {
	entry := make([]byte, length)
	for i := range entry {
		entry[i] = byte('a' + i%26)
	}
	binary.BigEndian.PutUint64(entry, number)
	return entry
}

// The figures, if every index was given once and there are no gaps.
func (m measurement) result() (result, error) {
	seen := make([]bool, len(m.entries))
	var latencies []time.Duration
	for _, e := range m.entries {
		if e.index >= uint64(len(seen)) || seen[e.index] {
			return result{}, fmt.Errorf("index %d was given twice, or leaves a gap", e.index)
		}
		seen[e.index] = true
		if e.resolved <= m.duration {
			latencies = append(latencies, e.latency)
		}
	}
	if len(latencies) == 0 {
		return result{}, errors.New("nothing was appended in time")
	}
	slices.Sort(latencies)
	count := len(latencies)
	at := func(part int) int64 { return latencies[(count-1)*part/100].Microseconds() }
	seconds := m.duration.Seconds()
	return result{float64(count) / seconds, seconds, count, at(50), at(99), at(100)}, nil
}
