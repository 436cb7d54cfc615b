// Measures Immuta, in process: appending records one at a time, or reading them all.
//
//	immuta --dir DIR --workload append [--mode fast|sync] [--count 100000] [--length 1000]
//	immuta --dir DIR --workload read   [--mode fast|sync] [--count 100000] [--length 1000]
//
// Mode fast never syncs; mode sync opens the log with O_SYNC. Append needs an empty DIR, on the
// disk to be measured; each record is an Append and a Save, as the API demands. Read needs the log
// that an append of the same count and length left in DIR: one stream reads every payload and
// throws it away. Both check that all records are there.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"ella.to/immuta"
)

const namespace = "bench"

type options struct {
	dir      string
	mode     string
	workload string
	count    int
	length   int
}

type result struct {
	Rate    float64 `json:"rate"`
	Seconds float64 `json:"seconds"`
	Count   int     `json:"count"`
	P50     int64   `json:"p50_us"`
	P99     int64   `json:"p99_us"`
	Max     int64   `json:"max_us"`
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "a folder on the disk to be measured")
	flag.StringVar(&o.mode, "mode", "fast", "fast or sync")
	flag.StringVar(&o.workload, "workload", "append", "append or read")
	flag.IntVar(&o.count, "count", 100000, "records")
	flag.IntVar(&o.length, "length", 1000, "bytes a record")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "immuta:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if flag.NArg() != 0 || o.dir == "" || o.count < 1 || o.length < 1 ||
		(o.mode != "fast" && o.mode != "sync") ||
		(o.workload != "append" && o.workload != "read") {
		return errors.New("bad options, see --help")
	}
	names, err := os.ReadDir(o.dir)
	if err != nil {
		return err
	}
	if o.workload == "append" && len(names) != 0 {
		return fmt.Errorf("%s is not empty", o.dir)
	}
	if o.workload == "read" && len(names) == 0 {
		return fmt.Errorf("%s is empty: append first", o.dir)
	}
	log, err := immuta.New(immuta.WithLogsDirPath(o.dir), immuta.WithFastWrite(o.mode == "fast"),
		immuta.WithNamespaces(namespace))
	if err != nil {
		return err
	}
	var latencies []time.Duration
	var duration time.Duration
	if o.workload == "append" {
		latencies, duration, err = appendAll(ctx, log, o)
	}
	// Before a read, too: a stream waits for ever for what is not there.
	if err == nil {
		err = verify(ctx, log, o)
	}
	if err == nil && o.workload == "read" {
		latencies, duration, err = readAll(ctx, log, o)
	}
	if err != nil {
		return err
	}
	if err := log.Close(); err != nil {
		return err
	}
	slices.Sort(latencies)
	at := func(part int) int64 { return latencies[(o.count-1)*part/100].Microseconds() }
	return json.NewEncoder(os.Stdout).Encode(result{
		float64(o.count) / duration.Seconds(), duration.Seconds(), o.count, at(50), at(99), at(100)})
}

// The clock is read once a record: the time of one is from the end of the one before.
func appendAll(ctx context.Context, log *immuta.Storage, o options) ([]time.Duration,
	time.Duration, error) {
	payload := bytes.Repeat([]byte{'a'}, o.length)
	latencies := make([]time.Duration, o.count)
	var before time.Duration
	start := time.Now()
	for i := range latencies {
		_, size, err := log.Append(ctx, namespace, bytes.NewReader(payload))
		log.Save(namespace, &err)
		if err != nil {
			return nil, 0, err
		}
		if size != int64(o.length) {
			return nil, 0, fmt.Errorf("record %d: %d bytes were appended", i, size)
		}
		now := time.Since(start)
		latencies[i], before = now-before, now
	}
	return latencies, before, nil
}

func readAll(ctx context.Context, log *immuta.Storage, o options) ([]time.Duration,
	time.Duration, error) {
	latencies := make([]time.Duration, o.count)
	var before time.Duration
	start := time.Now()
	stream := log.Stream(ctx, namespace, 0)
	defer stream.Done()
	for i := range latencies {
		record, _, err := stream.Next(ctx)
		if err != nil {
			return nil, 0, err
		}
		size, err := io.Copy(io.Discard, record)
		record.Done()
		if err != nil {
			return nil, 0, err
		}
		if size != int64(o.length) {
			return nil, 0, fmt.Errorf("record %d: %d bytes were read", i, size)
		}
		now := time.Since(start)
		latencies[i], before = now-before, now
	}
	return latencies, before, nil
}

// Immuta's own check (lengths; it has no checksums), and that the count is right.
func verify(ctx context.Context, log *immuta.Storage, o options) error {
	if err := log.Verify(ctx, namespace); err != nil {
		return err
	}
	size := immuta.FileHeaderSize + int64(o.count)*int64(immuta.RecordHeaderSize+o.length)
	wanted := fmt.Sprintf("size: %d, count: %d", size, o.count)
	details, err := log.Details(ctx, namespace)
	if err == nil && details != wanted {
		err = fmt.Errorf("the log has %q, wanted %q", details, wanted)
	}
	return err
}
