package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/tlog"
)

// Each client verifies the whole log.
func TestClients(t *testing.T) {
	s := fromEnvironment(t)
	for _, c := range logClients {
		t.Run(c.name, func(t *testing.T) {
			size, err := c.verify(t.Context(), s, s.mount)
			if err != nil {
				t.Fatal(err)
			}
			s.checkSize(t, size)
		})
	}
}

func isAsAppended(index int64, entry []byte) error {
	if string(entry) != wantEntry(index) {
		return fmt.Errorf("entry %d is %.40q", index, entry)
	}
	return nil
}

// Under the newest checkpoint and under earlier ones (the first, the newest and some between), the
// mount still has all that a reader needs, and the entries are those that were appended.
func TestEntries(t *testing.T) {
	const sample = 12
	s := fromEnvironment(t)
	newest, err := s.mount.checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	s.remember(t, newest)
	trees := s.seen(t)
	for i, tree := range trees {
		if i != len(trees)-1 && i%(len(trees)/sample+1) != 0 {
			continue
		}
		if err := s.mount.readEntries(t.Context(), tree.Tree, 0, isAsAppended); err != nil {
			t.Errorf("under the checkpoint of size %d: %v", tree.N, err)
		}
	}
}

// The key that the mount tells is the one that init told.
func TestVkey(t *testing.T) {
	s := fromEnvironment(t)
	want, err := os.ReadFile(s.mount.vkeyFile)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(s.mount.dir, "vkey"))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != strings.TrimSpace(string(want))+"\n" {
		t.Errorf("vkey is %q, init printed %q", got, want)
	}
}

// All checkpoints ever seen are consistent with each other, by x/mod and by Tessera, and the tiles
// of the smaller trees are still there.
func TestConsistency(t *testing.T) {
	s := fromEnvironment(t)
	newest, err := s.mount.checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	s.remember(t, newest)
	trees := s.seen(t)
	if len(trees) > 0 && trees[0].N == 0 {
		trees = trees[1:] // A proof begins with a tree of one entry, for both.
	}
	for i, larger := range trees {
		hashes := tlog.TileHashReader(larger.Tree, fileTiles{s.mount.readFile})
		if root, err := tlog.TreeHash(larger.N, hashes); err != nil || root != larger.Hash {
			t.Errorf("the tiles of size %d: root %v, %v", larger.N, root, err)
		}
		for _, smaller := range trees[:i] {
			path, err := tlog.ProveTree(larger.N, smaller.N, hashes)
			if err != nil {
				t.Fatalf("tlog.ProveTree(%d, %d): %v", larger.N, smaller.N, err)
			}
			if err := tlog.CheckTree(path, larger.N, larger.Hash, smaller.N, smaller.Hash); err != nil {
				t.Errorf("tlog.CheckTree(%d, %d): %v", larger.N, smaller.N, err)
			}
			tesseraConsistency(t, s.mount, smaller, larger)
		}
	}
}

func tesseraConsistency(t *testing.T, l logDir, smaller, larger signedTree) {
	t.Helper()
	fetcher := client.FileFetcher{Root: l.dir}
	builder, err := client.NewProofBuilder(t.Context(), uint64(larger.N), fetcher.ReadTile)
	if err != nil {
		t.Fatal(err)
	}
	path, err := builder.ConsistencyProof(t.Context(), uint64(smaller.N), uint64(larger.N))
	if err != nil {
		t.Fatalf("ProofBuilder.ConsistencyProof(%d, %d): %v", smaller.N, larger.N, err)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(smaller.N), uint64(larger.N), path,
		smaller.Hash[:], larger.Hash[:]); err != nil {
		t.Errorf("proof.VerifyConsistency(%d, %d): %v", smaller.N, larger.N, err)
	}
}

// While a writer goes on, Tessera's tracker proves each checkpoint consistent with the one before,
// and torchwood tails the entries.
func TestFollow(t *testing.T) {
	s := fromEnvironment(t)
	if !s.growing {
		t.Fatal("nobody writes")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	fetcher := client.FileFetcher{Root: s.mount.dir}
	name := s.mount.verifier.Name()
	tracker, err := client.NewLogStateTracker(ctx, fetcher.ReadTile, nil, s.mount.verifier, name,
		client.UnilateralConsensus(fetcher.ReadCheckpoint))
	if err != nil {
		t.Fatal(err)
	}
	next := int64(tracker.Latest().Size)
	for rounds := 0; rounds < 400; {
		_, _, raw, err := tracker.Update(ctx)
		if err != nil {
			t.Fatalf("LogStateTracker.Update after %d rounds: %v", rounds, err)
		}
		tree, err := openCheckpoint(raw, s.mount.verifier)
		if err != nil {
			t.Fatal(err)
		}
		if tree.N == next {
			if ctx.Err() != nil {
				t.Fatalf("the log did not grow after %d rounds", rounds)
			}
			time.Sleep(time.Millisecond)
			continue
		}
		if rounds%20 == 0 {
			s.remember(t, tree)
		}
		if err := s.mount.readEntries(ctx, tree.Tree, next, isAsAppended); err != nil {
			t.Fatalf("tailing from %d: %v", next, err)
		}
		next = tree.N
		rounds++
	}
}
