package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/tlog"
)

// web is a log as it is published: a URL, and its key.
type web struct {
	url    string
	client *http.Client
	log    logDir // for its key alone
}

func frontFromEnvironment(t *testing.T) (web, situation) {
	t.Helper()
	s := fromEnvironment(t)
	address := os.Getenv("INTEROP_URL")
	if address == "" {
		t.Fatal("INTEROP_URL is not set: these tests are started by ./run")
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return web{url: address, log: s.mount,
		client: &http.Client{Transport: transport, Timeout: 30 * time.Second}}, s
}

// get reads a file of the log: anything but 200 is an error.
func (w web) get(path string) ([]byte, error) {
	response, err := w.client.Get(w.url + "/" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, response.Status)
	}
	return content, err
}

func (w web) checkpoint() (signedTree, error) {
	raw, err := w.get("checkpoint")
	if err != nil {
		return signedTree{}, err
	}
	return openCheckpoint(raw, w.log.verifier)
}

// add appends an entry: its index.
func (w web) add(entry []byte) (int64, error) {
	response, err := w.client.Post(w.url+"/add", "application/octet-stream", bytes.NewReader(entry))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("add: %s: %s", response.Status, body)
	}
	return strconv.ParseInt(string(body), 10, 64)
}

// Tessera's client, its fsck, and torchwood, each of the whole log.
func TestFront(t *testing.T) {
	w, s := frontFromEnvironment(t)
	root, err := url.Parse(w.url)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := w.checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	s.checkSize(t, tree.N)
	t.Run("tessera", func(t *testing.T) {
		fetcher, err := client.NewHTTPFetcher(root, w.client)
		if err != nil {
			t.Fatal(err)
		}
		if err := tesseraRoots(t.Context(), fetcher, uint64(tree.N), tree.Hash[:]); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("fsck", func(t *testing.T) {
		if size, err := fsckSize(t.Context(), s, w.url+"/", w.log.vkeyFile); err != nil {
			t.Fatal(err)
		} else if size < tree.N {
			t.Errorf("verified %d entries of %d", size, tree.N)
		}
	})
	t.Run("torchwood", func(t *testing.T) {
		if err := w.readEntries(t.Context(), tree.Tree, func(int64, []byte) {}); err != nil {
			t.Fatal(err)
		}
	})
}

// readEntries has torchwood fetch and verify all entries, and gives them to `visit`.
func (w web) readEntries(ctx context.Context, tree tlog.Tree, visit func(int64, []byte)) error {
	tiles, err := torchwood.NewTileFetcher(w.url, torchwood.WithHTTPClient(w.client))
	if err != nil {
		return err
	}
	reader, err := torchwood.NewClient(tiles)
	if err != nil {
		return err
	}
	next := int64(0)
	for index, entry := range reader.AllEntries(ctx, tree, 0) {
		if index != next {
			return fmt.Errorf("Client.AllEntries gave entry %d where %d was due", index, next)
		}
		visit(index, entry)
		next++
	}
	if next != tree.N {
		return errors.Join(fmt.Errorf("Client.AllEntries ended at %d of %d", next, tree.N), reader.Err())
	}
	return reader.Err()
}

// Writers append and readers loop, from a checkpoint to every tile and bundle that is new with it:
// everything is there and fits, in as many checkpoints as INTEROP_CHECKPOINTS says, each counted once
// however many readers saw it. In the end every entry is at the index that its writer was told.
func TestFrontReaders(t *testing.T) {
	const writers, readers = 4, 4
	w, s := frontFromEnvironment(t)
	wanted, err := strconv.ParseInt(os.Getenv("INTEROP_CHECKPOINTS"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var seen checkpoints
	stop := make(chan struct{})
	var written sync.Map // index to entry
	var writing, reading sync.WaitGroup
	for writer := range writers {
		writing.Go(func() {
			for number := 0; ; number++ {
				select {
				case <-stop:
					return
				default:
				}
				entry := fmt.Appendf(nil, "%d of writer %d after %d\n", number, writer, s.size)
				index, err := w.add(entry)
				if err != nil {
					t.Error(err)
					return
				}
				if other, was := written.LoadOrStore(index, string(entry)); was {
					t.Errorf("index %d was given to %q and %q", index, other, entry)
				}
			}
		})
	}
	for range readers {
		reading.Go(func() {
			next := s.size
			for seen.distinct.Load() < wanted && !t.Failed() {
				tree, err := w.checkpoint()
				if err == nil && tree.N > next {
					err = errors.Join(w.readNew(tree, next), seen.add(tree))
				}
				if err == nil && tree.N < next {
					err = fmt.Errorf("size %d after %d", tree.N, next)
				}
				if err != nil {
					t.Errorf("after %d checkpoints: %v", seen.distinct.Load(), err)
					return
				}
				next = tree.N
			}
		})
	}
	reading.Wait()
	close(stop)
	writing.Wait()
	entries := w.compare(t, &written)
	t.Logf("%d distinct checkpoints, read %d times, with all that is new in each; %d entries",
		seen.distinct.Load(), seen.read.Load(), entries)
}

// checkpoints counts those whose tiles and bundles were read.
type checkpoints struct {
	roots          sync.Map // size to root
	distinct, read atomic.Int64
}

func (c *checkpoints) add(tree signedTree) error {
	c.read.Add(1)
	root, was := c.roots.LoadOrStore(tree.N, tree.Hash)
	if was && root != tree.Hash {
		return fmt.Errorf("size %d has two roots: %v, %v", tree.N, root, tree.Hash)
	}
	if !was {
		c.distinct.Add(1)
	}
	return nil
}

// readNew reads the bundles and tiles of the entries [from, tree.N), compares each entry with its
// authenticated hash, and recomputes the root.
func (w web) readNew(tree signedTree, from int64) error {
	hashes := tlog.TileHashReader(tree.Tree, fileTiles{w.get})
	if root, err := tlog.TreeHash(tree.N, hashes); err != nil || root != tree.Hash {
		return fmt.Errorf("size %d: root %v, %w", tree.N, root, err)
	}
	for bundle := from / torchwood.TileWidth; bundle*torchwood.TileWidth < tree.N; bundle++ {
		if err := compareBundle(w.get, bundle, tree, hashes); err != nil {
			return fmt.Errorf("size %d: %w", tree.N, err)
		}
	}
	return nil
}

// compare waits until all that was written is published, and finds each entry at its index. It returns
// how many entries the log has.
func (w web) compare(t *testing.T, written *sync.Map) int64 {
	newest := int64(-1)
	written.Range(func(index, _ any) bool {
		newest = max(newest, index.(int64))
		return true
	})
	for range 1000 {
		tree, err := w.checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		if tree.N <= newest {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		err = w.readEntries(t.Context(), tree.Tree, func(index int64, entry []byte) {
			if want, is := written.LoadAndDelete(index); is && want != string(entry) {
				t.Errorf("entry %d is %q, written was %q", index, entry, want)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		written.Range(func(index, entry any) bool {
			t.Errorf("entry %d is nowhere: %q", index, entry)
			return false
		})
		return tree.N
	}
	t.Fatalf("entry %d is not published", newest)
	return 0
}
