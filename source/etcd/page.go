package etcd

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
)

// chunkSize is how many bytes of an object one key holds at most. etcd takes requests of 1.5 MB (--max-request-bytes).
const chunkSize = 256 << 10

// format begins the value of the key that names the fleet's pages.
const format = "culvert fleet 1\n"

// entry is an object's line in a page: its kind, its name and the digests of its chunks.
type entry struct {
	kind, name string
	digests    []string
}

func (e entry) line() string {
	return e.kind + " " + e.name + " " + strings.Join(e.digests, " ") + "\n"
}

func (e entry) keys(l layout) []string {
	keys := make([]string, len(e.digests))
	for i, d := range e.digests {
		keys[i] = l.objects() + e.kind + "/" + e.name + "/" + d
	}
	return keys
}

// last reports whether a page ends with the entry. The name alone decides, so an entry more or less changes one page and
// not all behind it; a page has 256 entries on average.
func (e entry) last() bool {
	h := fnv.New32a()
	_, _ = h.Write([]byte(e.kind + " " + e.name))
	return h.Sum32()%256 == 0
}

// image is a fleet as etcd holds it: the value of the key that names the pages, and all other values by key.
type image struct {
	root   []byte
	values map[string][]byte
}

// encode lays the objects out.
func encode(l layout, objects []Object) image {
	out := image{root: []byte(format), values: map[string][]byte{}}
	var page []byte
	end := func() {
		if len(page) == 0 {
			return
		}
		d := digest(page)
		out.values[l.pages()+d] = page
		out.root = fmt.Appendf(out.root, "page %s\n", d)
		page = nil
	}
	for _, o := range objects {
		e := entry{kind: o.Kind, name: o.Name}
		for text := o.Text; len(text) > 0; {
			chunk := text[:min(chunkSize, len(text))]
			text = text[len(chunk):]
			e.digests = append(e.digests, digest(chunk))
			keys := e.keys(l)
			out.values[keys[len(keys)-1]] = chunk
		}
		page = append(page, e.line()...)
		if e.last() {
			end()
		}
	}
	end()
	return out
}

// pageKeys reads which pages the fleet has.
func pageKeys(l layout, root []byte) ([]string, error) {
	rest, ok := bytes.CutPrefix(root, []byte(format))
	if !ok {
		return nil, fmt.Errorf("%s does not begin with %q; it was written by another version: upgrade culvert on this host", l.fleet(), strings.TrimSpace(format))
	}
	var keys []string
	for line := range strings.Lines(string(rest)) {
		d, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "page ")
		if !ok || !isDigest(d) {
			return nil, fmt.Errorf("%s: %q is not a page; put back what was there, as docs/etcd.md says", l.fleet(), line)
		}
		keys = append(keys, l.pages()+d)
	}
	return keys, nil
}

// parsePage reads the entries of a page.
func parsePage(page []byte) ([]entry, error) {
	var entries []entry
	for line := range strings.Lines(string(page)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(fields) < 3 || !isName(fields[0]) || !isName(fields[1]) {
			return nil, fmt.Errorf("page line %q does not name an object; put back what was there, as docs/etcd.md says", line)
		}
		for _, d := range fields[2:] {
			if !isDigest(d) {
				return nil, fmt.Errorf("page line %q has %q for a digest; put back what was there, as docs/etcd.md says", line, d)
			}
		}
		entries = append(entries, entry{fields[0], fields[1], fields[2:]})
	}
	return entries, nil
}

// isName reports whether a text can be part of a key.
func isName(s string) bool { return s != "" && !strings.ContainsAny(s, "/ \n\x00") }

func isDigest(s string) bool {
	return len(s) == len(digest(nil)) && strings.Trim(s, "0123456789abcdef") == ""
}

// errDamaged is a value that is not what its key says.
var errDamaged = errors.New("does not hold what was pushed")

// verify holds a value to its key.
func verify(key string, value []byte) error {
	if d := key[strings.LastIndexByte(key, '/')+1:]; digest(value) != d {
		return fmt.Errorf("%s %w; put back what was there, as docs/etcd.md says", key, errDamaged)
	}
	return nil
}
