package etcd

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestMistakes makes those that a tired operator makes on the command line, and wants each to be told and nothing to be written.
func TestMistakes(t *testing.T) {
	binary, err := culvert()
	if err != nil {
		t.Fatal(err)
	}
	f := &fabric{T: t, cluster: newCluster(t, 1), binary: binary, dir: t.TempDir()}
	fleet := f.file()
	for _, c := range []struct {
		name, want string
		status     int
		words      []string
	}{
		{"a lock that is not there would move everybody's ports", "no-such.lock.yaml", 2, []string{"push", "--lock", filepath.Join(f.dir, "no-such.lock.yaml"), fleet}},
		{"nor is it fine to look", "no-such.lock.yaml", 2, []string{"push", "--check", "--lock", filepath.Join(f.dir, "no-such.lock.yaml"), fleet}},
		{"a prefix that nobody has pushed to is not well", "etcd has no fleet at " + f.cluster.address().String(), 1, []string{"status", "--fleet"}},
		{"nor is there a plan", "etcd has no fleet at", 1, []string{"plan", "--host", "hv1"}},
		{"or anything to pull", "etcd has no fleet at", 1, []string{"pull", "-f", filepath.Join(f.dir, "pulled.yaml")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.T = t
			if out, status := f.run(c.words...); status != c.status || !strings.Contains(out, c.want) {
				t.Errorf("culvert %v: status %d, want %d and %q:\n%s", c.words, status, c.status, c.want, out)
			}
		})
	}
	if keys := f.cluster.keys("/"); len(keys) != 0 {
		t.Errorf("etcd has %q", keys)
	}
}
