// Package interop reads a log with other people's clients: golang.org/x/mod's sumdb packages,
// Tessera's client library and its fsck, torchwood, and transparency-dev's formats.
//
// The script `run` makes the log, mounts it, makes it grow, and starts these tests at each size.
// It says what to expect by environment variables (see fromEnvironment).
package interop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// logDir is a log as a client finds it: a directory in the tlog-tiles layout, and its key.
type logDir struct {
	dir      string
	vkeyFile string
	verifier note.Verifier
}

// situation is what `run` says about the mount.
type situation struct {
	mount    logDir
	size     int64  // entries that were acknowledged before the tests began
	growing  bool   // a writer goes on meanwhile
	seenDir  string // the checkpoints of earlier sizes, one file each
	fsckPath string // Tessera's fsck
}

func fromEnvironment(t *testing.T) situation {
	t.Helper()
	get := func(name string) string {
		value := os.Getenv(name)
		if value == "" {
			t.Fatalf("%s is not set: these tests are started by ./run", name)
		}
		return value
	}
	size, err := strconv.ParseInt(get("INTEROP_SIZE"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	vkeyFile := get("INTEROP_VKEY_FILE")
	vkey, err := os.ReadFile(vkeyFile)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	if err != nil {
		t.Fatal(err)
	}
	return situation{
		mount:    logDir{dir: get("INTEROP_MOUNT"), vkeyFile: vkeyFile, verifier: verifier},
		size:     size,
		growing:  os.Getenv("INTEROP_GROWING") == "1",
		seenDir:  get("INTEROP_SEEN"),
		fsckPath: get("INTEROP_FSCK"),
	}
}

// checkSize compares the size that a client verified with what was appended.
func (s situation) checkSize(t *testing.T, size int64) {
	t.Helper()
	if size < s.size || (size > s.size && !s.growing) {
		t.Errorf("verified a log of %d entries, %d were appended", size, s.size)
	}
}

// The length of the largest entry that the format can hold.
const maxEntryLength = 65535

// wantEntry is what `run` appends at each index: an empty entry and one of the greatest length are
// among them.
func wantEntry(index int64) string {
	switch index {
	case 3:
		return ""
	case 4:
		return strings.Repeat("x", maxEntryLength)
	}
	return fmt.Sprintf("entry %d", index)
}

// sampleIndexes are all of a small log, and of a large one its edges and a random choice that is the
// same each time.
func sampleIndexes(size int64, count int) []int64 {
	var indexes []int64
	if size <= int64(count) {
		for i := range size {
			indexes = append(indexes, i)
		}
		return indexes
	}
	random := rand.New(rand.NewPCG(uint64(size), 1))
	for _, edge := range []int64{0, 255, 256, 65535, 65536, size - 1} {
		if edge < size {
			indexes = append(indexes, edge)
		}
	}
	for len(indexes) < count {
		indexes = append(indexes, random.Int64N(size))
	}
	return indexes
}

// signedTree is a checkpoint whose signature was verified.
type signedTree struct {
	tlog.Tree
	raw []byte
}

// openCheckpoint verifies a checkpoint with x/mod's note, and has it parsed by formats/log.
func openCheckpoint(raw []byte, verifier note.Verifier) (signedTree, error) {
	opened, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		return signedTree{}, fmt.Errorf("note.Open: %w", err)
	}
	if len(opened.Sigs) != 1 || len(opened.UnverifiedSigs) != 0 {
		return signedTree{}, fmt.Errorf("%d known and %d unknown signatures, expected the log's alone",
			len(opened.Sigs), len(opened.UnverifiedSigs))
	}
	checkpoint, rest, _, err := log.ParseCheckpoint(raw, verifier.Name(), verifier)
	if err != nil {
		return signedTree{}, fmt.Errorf("log.ParseCheckpoint: %w", err)
	}
	if len(rest) != 0 {
		return signedTree{}, fmt.Errorf("a checkpoint with extension lines: %q", rest)
	}
	// formats/log takes spellings that others refuse, such as a leading zero.
	if string(checkpoint.Marshal()) != opened.Text {
		return signedTree{}, fmt.Errorf("a checkpoint in an unusual spelling: %q", opened.Text)
	}
	if len(checkpoint.Hash) != tlog.HashSize {
		return signedTree{}, fmt.Errorf("a root of %d bytes", len(checkpoint.Hash))
	}
	tree := tlog.Tree{N: int64(checkpoint.Size), Hash: tlog.Hash(checkpoint.Hash)}
	return signedTree{Tree: tree, raw: raw}, nil
}

func (l logDir) checkpoint() (signedTree, error) {
	raw, err := os.ReadFile(filepath.Join(l.dir, "checkpoint"))
	if err != nil {
		return signedTree{}, err
	}
	return openCheckpoint(raw, l.verifier)
}

// seen reads the checkpoints that were seen so far, smallest first.
func (s situation) seen(t *testing.T) []signedTree {
	t.Helper()
	files, err := os.ReadDir(s.seenDir)
	if err != nil {
		t.Fatal(err)
	}
	var trees []signedTree
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Join(s.seenDir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		tree, err := openCheckpoint(raw, s.mount.verifier)
		if err != nil {
			t.Fatalf("%s: %v", file.Name(), err)
		}
		trees = append(trees, tree)
	}
	sort.Slice(trees, func(i, j int) bool { return trees[i].N < trees[j].N })
	return trees
}

// remember keeps a checkpoint for the tests of later sizes. A second one of the same size must have
// the same root.
func (s situation) remember(t *testing.T, tree signedTree) {
	t.Helper()
	path := filepath.Join(s.seenDir, strconv.FormatInt(tree.N, 10))
	if raw, err := os.ReadFile(path); err == nil {
		earlier, err := openCheckpoint(raw, s.mount.verifier)
		if err != nil {
			t.Fatal(err)
		}
		if earlier.Hash != tree.Hash {
			t.Fatalf("two roots were signed for size %d: %v and %v", tree.N, earlier.Hash, tree.Hash)
		}
	}
	if err := os.WriteFile(path, tree.raw, 0o600); err != nil {
		t.Fatal(err)
	}
}
