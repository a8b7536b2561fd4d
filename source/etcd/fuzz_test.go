package etcd

import (
	"bytes"
	"testing"
)

// FuzzPage reads anything as a page. What is accepted is written again as it was.
func FuzzPage(f *testing.F) {
	fleet, lock := parseFleet(f, fleetYAML)
	for key, value := range encodeFleet(f, fleet, lock).values {
		if bytes.HasPrefix([]byte(key), []byte(here.pages())) {
			f.Add(value)
		}
	}
	f.Add([]byte("host hv1 " + digest(nil)))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := parsePage(data)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			again = append(again, e.line()...)
		}
		if !bytes.Equal(bytes.TrimSuffix(again, []byte("\n")), bytes.TrimSuffix(data, []byte("\n"))) {
			t.Errorf("%q became %q", data, again)
		}
	})
}

// FuzzLoad has anything as the value of the fleet's key, of a page and of an object.
func FuzzLoad(f *testing.F) {
	fleet, lock := parseFleet(f, fleetYAML)
	objects, err := split(fleet, lock)
	if err != nil {
		f.Fatal(err)
	}
	for _, o := range objects {
		f.Add(o.Kind, o.Name, o.Text)
	}
	f.Add("fleet", "", encode(here, objects).root)
	f.Fuzz(func(t *testing.T, kind, name string, text []byte) {
		i := encode(here, []Object{{kind, name, text}})
		for _, root := range [][]byte{i.root, text} {
			l := loader{layout: here}
			fleet, lock, err := l.load(t.Context(), root, i.get)
			if err != nil {
				continue
			}
			if _, err := split(fleet, lock); err != nil {
				t.Errorf("%q was read and cannot be written: %v", text, err)
			}
		}
	})
}

// FuzzCache reads anything as the file that keeps the last fleet.
func FuzzCache(f *testing.F) {
	fleet, lock := parseFleet(f, fleetYAML)
	path := f.TempDir() + "/fleet"
	if err := writeCache(path, here, 7, encodeFleet(f, fleet, lock)); err != nil {
		f.Fatal(err)
	}
	f.Add(readFile(f, path))
	f.Add([]byte(cacheHeader + "1\n/culvert/v1/fleet 2\nxx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		revision, i, err := parseCache(data, here)
		if err != nil {
			return
		}
		if revision <= 0 {
			t.Errorf("revision %d", revision)
		}
		l := loader{layout: here}
		_, _, _ = l.load(t.Context(), i.root, i.get)
	})
}

// FuzzAddress reads anything as an address. What is accepted reads the same when it is printed.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"etcd://a:1,b/x/y", "etcd://[::1]:2379", "etcd://u:p@a/x", "etcd:///", "etcd://a,,b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if again, err := ParseAddress(a.String()); err != nil || again.String() != a.String() {
			t.Errorf("%q became %q, then %q, %v", s, a, again, err)
		}
	})
}
