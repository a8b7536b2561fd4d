package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeKernel writes a complete package of that release into a cache folder.
func fakeKernel(t *testing.T, dir, release string) string {
	t.Helper()
	root := filepath.Join(dir, release)
	for name, text := range map[string]string{
		"boot/vmlinuz-" + release:                        "image",
		"lib/modules/" + release + "/kernel/net/a-b.ko":  "module",
		"lib/modules/" + release + "/modules.builtin":    "kernel/net/packet/af_packet.ko\n",
		"lib/modules/" + release + "/kernel/net/c.ko.xz": "module",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeManifest(root); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestCachedTakesNewestComplete(t *testing.T) {
	dir := t.TempDir()
	if _, err := cached(filepath.Join(dir, "none"), "6.12"); err == nil {
		t.Error("an empty cache has a kernel")
	}
	fakeKernel(t, dir, "6.1.99-cloud-amd64")
	fakeKernel(t, dir, "6.12.9+deb12-cloud-amd64")
	newest := fakeKernel(t, dir, "6.12.117+deb12-cloud-amd64")

	k, err := cached(dir, "6.12")
	if err != nil || k.Release != "6.12.117+deb12-cloud-amd64" {
		t.Fatalf("got %+v, %v, want 6.12.117", k, err)
	}
	if k.Image != filepath.Join(newest, "boot/vmlinuz-6.12.117+deb12-cloud-amd64") {
		t.Errorf("image is %s", k.Image)
	}

	// A file that was cut off or lost makes the package unusable.
	if err := os.Truncate(k.Image, 2); err != nil {
		t.Fatal(err)
	}
	if k, err = cached(dir, "6.12"); err != nil || k.Release != "6.12.9+deb12-cloud-amd64" {
		t.Errorf("with a damaged newest: got %+v, %v, want 6.12.9", k, err)
	}
	if err := os.Remove(filepath.Join(dir, k.Release, manifest)); err != nil {
		t.Fatal(err)
	}
	if k, err = cached(dir, "6.12"); err == nil {
		t.Errorf("with nothing complete: got %+v", k)
	}
}

func TestFilesAndBuiltin(t *testing.T) {
	dir := t.TempDir()
	fakeKernel(t, dir, "6.12.1-cloud-amd64")
	k, err := cached(dir, "6.12")
	if err != nil {
		t.Fatal(err)
	}
	files, err := k.files()
	if err != nil || len(files) != 2 || files["a_b"] == "" || files["c"] == "" {
		t.Errorf("files: %v, %v", files, err)
	}
	builtin, err := k.builtin()
	if err != nil || !builtin["af_packet"] || len(builtin) != 1 {
		t.Errorf("builtin: %v, %v", builtin, err)
	}
	if mods, err := k.Modules([]string{"af-packet"}); err != nil || len(mods) != 0 {
		t.Errorf("a built-in module: got %v, %v, want nothing", mods, err)
	}
	if _, err := k.Modules([]string{"no_such"}); err == nil || !strings.Contains(err.Error(), "no module no_such") {
		t.Errorf("a missing module: got %v", err)
	}
	if _, err := k.Modules([]string{"a_b"}); err == nil {
		t.Error("a module that is no ELF file is no error")
	}
}

func TestParseDepends(t *testing.T) {
	text := "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n"
	if got := parseDepends(text, "6.1"); got != "linux-image-6.1.0-56-cloud-amd64" {
		t.Errorf("got %q", got)
	}
	if got := parseDepends(text, "6.12"); got != "" {
		t.Errorf("another series: got %q, want none", got)
	}
	if got := parseDepends("  Depends: linux-image-6.12.117+deb12-cloud-amd64\n", "6.1"); got != "" {
		t.Errorf("6.1 is not 6.12: got %q", got)
	}
}

func TestParseModinfo(t *testing.T) {
	hard, soft := parseModinfo("license=GPL\x00depends=nf_conntrack,nf-nat\x00softdep=pre: crc32c xor post: x\x00softdep=post: y\x00depends=\x00")
	if want := []string{"nf_conntrack", "nf-nat"}; !slices.Equal(hard, want) {
		t.Errorf("hard is %v, want %v", hard, want)
	}
	if want := []string{"crc32c", "xor"}; !slices.Equal(soft, want) {
		t.Errorf("soft is %v, want %v", soft, want)
	}
}

func TestWithoutSignature(t *testing.T) {
	signature := "sig" + "\x01\x02\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x03"
	for _, tt := range []struct{ name, data, want string }{
		{"signed", "module" + signature + signatureMark, "module"},
		{"unsigned", "module", "module"},
		{"only the mark", signatureMark, signatureMark},
		{"a length beyond the file", "\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff" + signatureMark,
			"\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff" + signatureMark},
	} {
		if got := withoutSignature([]byte(tt.data)); string(got) != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
