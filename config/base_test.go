package config

import (
	"errors"
	"strings"
	"testing"
)

// base is a small fleet that the tests of problems break in one place: edits replace a text that occurs once, more is
// appended and continues the tenant from line 10 on.
const base = `hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: lb1, underlay: 192.0.2.9, roles: [loadbalancer]}
tenants:
  - name: acme
    vni: 100
    interfaces:
      - {name: vm-a, host: hv1, device: tap-a, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12, "fd00::12"]}
      - {name: vm-b, host: hv1, device: tap-b, mac: "52:54:00:00:00:0b", addresses: [10.0.0.47]}
`

// other is a second tenant, for what must differ between tenants.
const other = `  - name: zeta
    vni: 200
    interfaces:
      - {name: vm-a, host: hv1, device: tap-z, mac: "52:54:00:00:00:0a", addresses: [10.0.0.12]}
`

// problemTest is a document with one problem, or with those that come together.
type problemTest struct {
	name  string
	edits []string // pairs of old and new
	more  string
	want  string // all lines of the error, without "fleet.yaml:"
}

// document returns the broken document.
func (test problemTest) document(t *testing.T) string {
	t.Helper()
	doc := base
	for i := 0; i < len(test.edits); i += 2 {
		if strings.Count(doc, test.edits[i]) != 1 {
			t.Fatalf("%q is not once in the base fleet", test.edits[i])
		}
		doc = strings.Replace(doc, test.edits[i], test.edits[i+1], 1)
	}
	return doc + test.more
}

// run parses the documents and compares the problems.
func run(t *testing.T, tests []problemTest) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			doc := test.document(t)
			compare(t, doc, test.want)
		})
	}
}

// compare parses a document, compares its problems and checks that each one points at its text.
func compare(t *testing.T, doc, want string) {
	t.Helper()
	fleet, err := Parse("fleet.yaml", []byte(doc))
	if want == "" {
		if err != nil {
			t.Fatalf("unexpected problems:\n%v", err)
		}
		return
	}
	var problems Problems
	if !errors.As(err, &problems) || fleet != nil {
		t.Fatalf("got fleet %v and error %v, want Problems", fleet, err)
	}
	if got := strings.ReplaceAll(err.Error(), "fleet.yaml:", ""); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, p := range problems {
		if !pointsAtText(doc, p) {
			t.Errorf("%d:%d is not where %q stands", p.Line, p.Column, p.Text)
		}
	}
}

// pointsAtText reports whether the problem's text, or a quote and its text, begins at its position.
func pointsAtText(doc string, p Problem) bool {
	lines := strings.Split(strings.ReplaceAll(doc, "\r\n", "\n"), "\n")
	if p.Line < 1 || p.Line > len(lines) {
		return false
	}
	line := []rune(lines[p.Line-1])
	if p.Column < 1 || p.Column > len(line)+1 {
		return false
	}
	rest := string(line[p.Column-1:])
	return strings.HasPrefix(rest, p.Text) || strings.HasPrefix(strings.TrimLeft(rest, `"'`), p.Text)
}
