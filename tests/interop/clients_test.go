package interop

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"filippo.io/torchwood"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/tlog"
)

// A logClient reads all of a log, verifies what it can, and returns the size that it verified.
type logClient struct {
	name   string
	verify func(context.Context, situation, logDir) (int64, error)
}

var logClients = []logClient{
	{"xmod", verifyWithXMod},
	{"tessera", verifyWithTessera},
	{"torchwood", verifyWithTorchwood},
	{"fsck", verifyWithFsck},
}

// How many proofs of single entries each client makes in a large log.
const proofSample = 300

// A readFile gives the content of a file of a log.
type readFile func(path string) ([]byte, error)

func (l logDir) readFile(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(l.dir, path))
}

// fileTiles gives x/mod the tiles of a log. x/mod's own names begin with the tile's height, tile/8/,
// which tlog-tiles leaves out.
type fileTiles struct{ read readFile }

func (fileTiles) Height() int { return torchwood.TileHeight }

func (f fileTiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var contents [][]byte
	for _, tile := range tiles {
		name := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		content, err := f.read(name)
		if err != nil {
			return nil, err
		}
		if len(content) != tile.W*tlog.HashSize {
			return nil, fmt.Errorf("%s has %d bytes", name, len(content))
		}
		contents = append(contents, content)
	}
	return contents, nil
}

func (fileTiles) SaveTiles([]tlog.Tile, [][]byte) {}

// readBundle reads the entry bundle at `index` of a log of `size` entries, without any library.
func readBundle(read readFile, index, size int64) ([][]byte, error) {
	tile := tlog.Tile{H: torchwood.TileHeight, L: 0, N: index, W: torchwood.TileWidth}
	tile.W = int(min(torchwood.TileWidth, size-index*torchwood.TileWidth))
	name := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
	rest, err := read(name)
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	for len(rest) > 0 {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return nil, fmt.Errorf("%s is cut off", name)
		}
		end := 2 + int(binary.BigEndian.Uint16(rest))
		entries = append(entries, rest[2:end])
		rest = rest[end:]
	}
	if len(entries) != tile.W {
		return nil, fmt.Errorf("%s holds %d entries", name, len(entries))
	}
	return entries, nil
}

// verifyWithXMod recomputes the root, compares each entry's hash with its authenticated record
// hash, and proves single records.
func verifyWithXMod(_ context.Context, _ situation, l logDir) (int64, error) {
	tree, err := l.checkpoint()
	if err != nil {
		return 0, err
	}
	hashes := tlog.TileHashReader(tree.Tree, fileTiles{l.readFile})
	root, err := tlog.TreeHash(tree.N, hashes)
	if err != nil {
		return 0, fmt.Errorf("tlog.TreeHash: %w", err)
	}
	if root != tree.Hash {
		return 0, fmt.Errorf("the tiles' root is %v, the checkpoint's %v", root, tree.Hash)
	}
	for bundle := int64(0); bundle*torchwood.TileWidth < tree.N; bundle++ {
		if err := compareBundle(l.readFile, bundle, tree, hashes); err != nil {
			return 0, err
		}
	}
	for _, index := range sampleIndexes(tree.N, proofSample) {
		record, err := tlog.ProveRecord(tree.N, index, hashes)
		if err != nil {
			return 0, fmt.Errorf("tlog.ProveRecord(%d): %w", index, err)
		}
		entries, err := readBundle(l.readFile, index/torchwood.TileWidth, tree.N)
		if err != nil {
			return 0, err
		}
		hash := tlog.RecordHash(entries[index%torchwood.TileWidth])
		if err := tlog.CheckRecord(record, tree.N, tree.Hash, index, hash); err != nil {
			return 0, fmt.Errorf("tlog.CheckRecord(%d): %w", index, err)
		}
	}
	return tree.N, nil
}

func compareBundle(read readFile, bundle int64, tree signedTree, hashes tlog.HashReader) error {
	entries, err := readBundle(read, bundle, tree.N)
	if err != nil {
		return err
	}
	var stored []int64
	for i := range entries {
		stored = append(stored, tlog.StoredHashIndex(0, bundle*torchwood.TileWidth+int64(i)))
	}
	records, err := hashes.ReadHashes(stored)
	if err != nil {
		return fmt.Errorf("record hashes of bundle %d: %w", bundle, err)
	}
	for i, entry := range entries {
		if tlog.RecordHash(entry) != records[i] {
			return fmt.Errorf("entry %d of bundle %d does not hash to its record", i, bundle)
		}
	}
	return nil
}

// verifyWithTessera recomputes the root from the tiles and once more from a stream of the entries,
// and proves single ones.
func verifyWithTessera(ctx context.Context, _ situation, l logDir) (int64, error) {
	fetcher := client.FileFetcher{Root: l.dir}
	checkpoint, _, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, l.verifier,
		l.verifier.Name())
	if err != nil {
		return 0, fmt.Errorf("client.FetchCheckpoint: %w", err)
	}
	if err := tesseraRoots(ctx, fetcher, checkpoint.Size, checkpoint.Hash); err != nil {
		return 0, err
	}
	builder, err := client.NewProofBuilder(ctx, checkpoint.Size, fetcher.ReadTile)
	if err != nil {
		return 0, err
	}
	for _, index := range sampleIndexes(int64(checkpoint.Size), proofSample) {
		bundle, err := client.GetEntryBundle(ctx, fetcher.ReadEntryBundle,
			uint64(index)/torchwood.TileWidth, checkpoint.Size)
		if err != nil {
			return 0, fmt.Errorf("client.GetEntryBundle: %w", err)
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(bundle.Entries[index%torchwood.TileWidth])
		path, err := builder.InclusionProof(ctx, uint64(index))
		if err != nil {
			return 0, fmt.Errorf("ProofBuilder.InclusionProof(%d): %w", index, err)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(index), checkpoint.Size, leaf,
			path, checkpoint.Hash); err != nil {
			return 0, fmt.Errorf("proof.VerifyInclusion(%d): %w", index, err)
		}
	}
	return int64(checkpoint.Size), nil
}

// What Tessera's fetchers have in common.
type fetcher interface {
	ReadTile(ctx context.Context, level, index uint64, width uint8) ([]byte, error)
	ReadEntryBundle(ctx context.Context, index uint64, width uint8) ([]byte, error)
}

func tesseraRoots(ctx context.Context, fetcher fetcher, size uint64, want []byte) error {
	ranges := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	nodes, err := client.FetchRangeNodes(ctx, size, fetcher.ReadTile)
	if err != nil {
		return fmt.Errorf("client.FetchRangeNodes: %w", err)
	}
	fromTiles, err := ranges.NewRange(0, size, nodes)
	if err != nil {
		return err
	}
	fromEntries := ranges.NewEmptyRange(0)
	getSize := func(context.Context) (uint64, error) { return size, nil }
	split := func(raw []byte) ([][]byte, error) {
		var bundle api.EntryBundle
		err := bundle.UnmarshalText(raw)
		return bundle.Entries, err
	}
	bundles := client.EntryBundles(ctx, 2, getSize, fetcher.ReadEntryBundle, 0, size)
	for entry, err := range client.Entries(bundles, split) {
		if err != nil {
			return fmt.Errorf("client.Entries: %w", err)
		}
		leaf := rfc6962.DefaultHasher.HashLeaf(entry.Entry)
		if err := fromEntries.Append(leaf, nil); err != nil {
			return err
		}
	}
	for what, computed := range map[string]*compact.Range{"tiles": fromTiles, "entries": fromEntries} {
		root := rfc6962.DefaultHasher.EmptyRoot()
		if computed.End() > 0 {
			if root, err = computed.GetRootHash(nil); err != nil {
				return err
			}
		}
		if computed.End() != size || !bytes.Equal(root, want) {
			return fmt.Errorf("the %s' root is %x at %d, the checkpoint's %x at %d", what, root,
				computed.End(), want, size)
		}
	}
	return nil
}

func (l logDir) torchwoodClient() (*torchwood.Client, *torchwood.TileFS, error) {
	tiles, err := torchwood.NewTileFS(os.DirFS(l.dir))
	if err != nil {
		return nil, nil, err
	}
	reader, err := torchwood.NewClient(tiles)
	return reader, tiles, err
}

// readEntries has torchwood iterate over the entries [from, tree.N), each of which it compares with
// its authenticated hash, and gives them to `visit`.
func (l logDir) readEntries(ctx context.Context, tree tlog.Tree, from int64,
	visit func(index int64, entry []byte) error) error {
	reader, _, err := l.torchwoodClient()
	if err != nil {
		return err
	}
	next := from
	for index, entry := range reader.AllEntries(ctx, tree, from) {
		if index != next {
			return fmt.Errorf("Client.AllEntries gave entry %d where %d was due", index, next)
		}
		if err := visit(index, entry); err != nil {
			return err
		}
		next++
	}
	if err := reader.Err(); err != nil {
		return fmt.Errorf("Client.AllEntries: %w", err)
	}
	if next != tree.N {
		return fmt.Errorf("Client.AllEntries ended at %d of %d", next, tree.N)
	}
	return nil
}

// verifyWithTorchwood verifies the checkpoint under a policy, reads all entries, and proves single
// ones.
func verifyWithTorchwood(ctx context.Context, _ situation, l logDir) (int64, error) {
	reader, tiles, err := l.torchwoodClient()
	if err != nil {
		return 0, err
	}
	raw, err := tiles.ReadEndpoint(ctx, "checkpoint")
	if err != nil {
		return 0, err
	}
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(l.verifier.Name()),
		torchwood.SingleVerifierPolicy(l.verifier))
	checkpoint, _, err := torchwood.VerifyCheckpoint(raw, policy)
	if err != nil {
		return 0, fmt.Errorf("torchwood.VerifyCheckpoint: %w", err)
	}
	any := func(int64, []byte) error { return nil }
	if err := l.readEntries(ctx, checkpoint.Tree, 0, any); err != nil {
		return 0, err
	}
	for _, index := range sampleIndexes(checkpoint.N, proofSample) {
		if _, _, err := reader.Entry(ctx, checkpoint.Tree, index); err != nil {
			return 0, fmt.Errorf("Client.Entry(%d): %w", index, err)
		}
	}
	return checkpoint.N, nil
}

var fsckSuccess = regexp.MustCompile(`Successfully fsck'd log with size (\d+) `)

func verifyWithFsck(ctx context.Context, s situation, l logDir) (int64, error) {
	return fsckSize(ctx, s, "file://"+l.dir+"/", l.vkeyFile)
}

// fsckSize runs Tessera's fsck. Only its text counts: version 1.0.4 exits with 0 whatever it found,
// and can hang after a mismatch if it has one worker.
func fsckSize(ctx context.Context, s situation, url, vkeyFile string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, s.fsckPath, "--storage_url="+url, "--public_key="+vkeyFile,
		"--ui=false", "--N=4")
	output, err := command.CombinedOutput()
	match := fsckSuccess.FindSubmatch(output)
	if match == nil {
		return 0, fmt.Errorf("fsck did not succeed (%w): %.400q", errors.Join(err, ctx.Err()), output)
	}
	return strconv.ParseInt(string(match[1]), 10, 64)
}
