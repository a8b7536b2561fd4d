package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/culvertnet/culvert/portmap"
)

// The cache is a file with the fleet as etcd holds it: a first line with the revision, then each value behind a line with
// its key and its length. The values' keys say what they must be ([verify]), and pages name all objects, so a file that
// lost something is noticed.
const cacheHeader = "culvert cache 1 revision "

// writeCache replaces the file at once: it is the old one or the new one, whenever the power fails.
func writeCache(path string, l layout, revision int64, i image) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%d\n", cacheHeader, revision)
	record := func(key string, value []byte) {
		fmt.Fprintf(&b, "%s %d\n", key, len(value))
		b.Write(value)
	}
	record(l.fleet(), i.root)
	for _, key := range slices.Sorted(maps.Keys(i.values)) {
		record(key, i.values[key])
	}
	err := os.MkdirAll(filepath.Dir(path), 0o750)
	if err == nil {
		err = portmap.ReplaceFile(path, b.Bytes(), 0o600)
	}
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		err = errno // with the name of the file in the making, it would be another error each time
	}
	if err != nil {
		return fmt.Errorf("keep the fleet for a start without etcd in %s: %w", path, err)
	}
	return nil
}

// readCache returns what is in the file; no file is revision 0.
func readCache(path string, l layout) (int64, image, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, image{}, nil
	}
	if err != nil {
		return 0, image{}, fmt.Errorf("read the fleet that was kept: %w", err)
	}
	revision, i, err := parseCache(data, l)
	if err != nil {
		return 0, image{}, fmt.Errorf("read the fleet that was kept in %s: %w; remove the file", path, err)
	}
	return revision, i, nil
}

func parseCache(data []byte, l layout) (int64, image, error) {
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	number, ok := strings.CutPrefix(string(head), cacheHeader)
	revision, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil || revision <= 0 {
		return 0, image{}, fmt.Errorf("it does not begin with %q and a number", cacheHeader)
	}
	i := image{values: map[string][]byte{}}
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		key, number, _ := strings.Cut(string(line), " ")
		size, err := strconv.ParseUint(number, 10, 31)
		if err != nil || size > uint64(len(rest)) {
			return 0, image{}, fmt.Errorf("%q is not a key and a length", line)
		}
		i.values[key], rest = rest[:size], rest[size:]
	}
	i.root = i.values[l.fleet()]
	delete(i.values, l.fleet())
	return revision, i, nil
}

// get is a [getter] of the image's values.
func (i image) get(_ context.Context, keys []string) (map[string][]byte, error) {
	values := make(map[string][]byte, len(keys))
	for _, key := range keys {
		if v, ok := i.values[key]; ok {
			values[key] = v
		}
	}
	return values, nil
}
