package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// flip changes one bit of a file, and returns what undoes it.
func flip(t *testing.T, path string, offset int) (undo func()) {
	t.Helper()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bad := append([]byte(nil), good...)
	bad[offset] ^= 1
	write(bad)
	return func() { write(good) }
}

// The tests of the other files can fail: each client takes a copy of the log, and refuses it with
// one bit changed. The copy is made with cp.
func TestDamage(t *testing.T) {
	s := fromEnvironment(t)
	const size = 600 // What the names below are for.
	if s.size != size {
		t.Fatalf("the log has %d entries", s.size)
	}
	copied := s.mount
	copied.dir = t.TempDir()
	command := exec.CommandContext(t.Context(), "cp", "-r", "--no-preserve=mode",
		filepath.Join(s.mount.dir, "checkpoint"), filepath.Join(s.mount.dir, "tile"), copied.dir)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, output)
	}
	for _, c := range logClients {
		if got, err := c.verify(t.Context(), s, copied); err != nil || got != size {
			t.Fatalf("%s of the copy: size %d, %v", c.name, got, err)
		}
	}

	damages := []struct {
		name   string
		path   string
		offset int
	}{
		{"leaf_hash", "tile/0/000", 40},
		{"right_edge", "tile/0/002.p/88", 88*32 - 1},
		{"level_1", "tile/1/000.p/2", 32},
		{"entry", "tile/entries/001", 4},
		{"last_entry", "tile/entries/002.p/88", 2},
		{"size", "checkpoint", len(s.mount.verifier.Name()) + 1},
		{"root", "checkpoint", len(s.mount.verifier.Name()) + 1 + len("600\n") + 8},
	}
	for _, damage := range damages {
		undo := flip(t, filepath.Join(copied.dir, damage.path), damage.offset)
		for _, c := range logClients {
			t.Run(damage.name+"/"+c.name, func(t *testing.T) {
				if got, err := c.verify(t.Context(), s, copied); err == nil {
					t.Errorf("verified %d entries", got)
				} else {
					t.Logf("refused, as it should: %.200v", err)
				}
			})
		}
		undo()
	}
}
