// Measures how fast Tessera appends entries durably, in process, on its POSIX driver.
//
//	tessera --dir DIR [--batch 256] [--entry-length 155] [--seconds 5]
//
// An entry counts when its future has resolved within the time: it is sequenced, integrated into
// the tree and synced. Afterwards every index must have been given once, without gaps, and a
// signed checkpoint must cover them all. DIR must be empty, and on the disk to be measured.
//
// The options are those that make Tessera fastest: no antispam, no garbage collection of partial
// tiles, a checkpoint a second, batches that are always full and few goroutines (see writers.go),
// and a heap that may grow further before Go collects it, which saves a fifth of the processor's
// time.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	flog "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"
)

const (
	origin = "example.com/bench"
	// A batch is flushed when it is full, not by age: a partial batch would leave all later ones
	// out of step with the tiles, and each would write two of them. Only what is left when the
	// time is over waits this long.
	batchAge           = time.Second
	checkpointInterval = time.Second
	heapGrowth         = 400 // percent
)

type options struct {
	dir         string
	batch       uint
	entryLength int
	seconds     float64
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "an empty folder on the disk to be measured")
	flag.UintVar(&o.batch, "batch", 256, "entries a batch; 1: one entry at a time")
	flag.IntVar(&o.entryLength, "entry-length", 155, "bytes an entry, 8 to 65535")
	flag.Float64Var(&o.seconds, "seconds", 5, "how long to append")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "tessera:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if err := check(o); err != nil {
		return err
	}
	debug.SetGCPercent(heapGrowth)
	// Only errors are worth telling.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	secret, public, err := note.GenerateKey(nil, origin)
	if err != nil {
		return err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		return err
	}
	driver, err := posix.New(ctx, posix.Config{Path: o.dir})
	if err != nil {
		return err
	}
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithBatching(o.batch, batchAge).
		WithCheckpointInterval(checkpointInterval).
		WithGarbageCollectionInterval(0))
	if err != nil {
		return err
	}

	measured, err := measure(ctx, appender.Add, o)
	if err != nil {
		return err
	}
	if err := shutdown(ctx); err != nil {
		return fmt.Errorf("shutdown: %w", err)
	}
	raw, err := reader.ReadCheckpoint(ctx)
	if err != nil {
		return err
	}
	checkpoint, _, _, err := flog.ParseCheckpoint(raw, origin, verifier)
	if err != nil {
		return err
	}
	if checkpoint.Size != uint64(len(measured.entries)) {
		return fmt.Errorf("the checkpoint has %d entries, %d were appended",
			checkpoint.Size, len(measured.entries))
	}
	result, err := measured.result()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func check(o options) error {
	if flag.NArg() != 0 || o.dir == "" || o.batch < 1 || o.batch > 1<<16 || o.seconds <= 0 ||
		o.entryLength < 8 || o.entryLength > tessera.DefaultEntrySizeLimit {
		return errors.New("bad options, see --help")
	}
	names, err := os.ReadDir(o.dir)
	if err != nil {
		return err
	}
	if len(names) != 0 {
		return fmt.Errorf("%s is not empty", o.dir)
	}
	return nil
}
