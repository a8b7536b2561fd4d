package nft

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	ruleComment = regexp.MustCompile(` comment "culvert #[0-9a-f]{16}"`)
	elementList = regexp.MustCompile(`(?s)elements = \{ (.*?) \}`)
	counterLine = regexp.MustCompile(`packets \d+ bytes \d+`)
)

// normal takes out of a listing what differs each time: digests, counters' values, and the order of elements, which is
// that of a hash with a random seed. Elements stand one a line.
func normal(listing string) string {
	listing = ruleComment.ReplaceAllString(listing, "")
	listing = counterLine.ReplaceAllString(listing, "packets 0 bytes 0")
	return elementList.ReplaceAllStringFunc(listing, func(list string) string {
		elements := strings.Split(elementList.FindStringSubmatch(list)[1], ",")
		for i := range elements {
			elements[i] = strings.TrimSpace(elements[i])
		}
		slices.Sort(elements)
		return "elements = { " + strings.Join(elements, ",\n\t\t\t     ") + " }"
	})
}

func printed(tables []Table) string {
	var b strings.Builder
	for _, t := range tables {
		fmt.Fprint(&b, t)
	}
	return b.String()
}

// TestListing holds the kernel's own listing of every role against a golden file, and our text against the listing: what
// people read is what packets meet.
func TestListing(t *testing.T) {
	for _, r := range roles() {
		t.Run(r.name, func(t *testing.T) {
			s := newStage(t)
			desired := Desired(r.tenant)
			s.become(desired)
			raw := s.nft("list", "ruleset")
			golden(t, filepath.Join("testdata", r.name+".nft"), normal(raw))
			if diff := cmp.Diff(normal(raw), normal(printed(desired))); diff != "" {
				t.Errorf("the printed tables are not what nft lists (-nft +ours):\n%s", diff)
			}
			everyRule(t, raw, desired)
		})
	}
}

// everyRule checks that nft lists each rule with exactly its text and its digest.
func everyRule(t *testing.T, listing string, tables []Table) {
	t.Helper()
	for _, table := range tables {
		for _, c := range table.Chains {
			for _, r := range c.Rules {
				line := fmt.Sprintf("\t\t%s comment %q\n", r.Text, commentPrefix+r.Digest)
				if !strings.Contains(listing, line) {
					t.Errorf("%s %s: nft does not list%s", table.Family, c.Name, line)
				}
			}
		}
	}
}

// TestNFTReadsBack feeds nft's own reading of our tables to nft, where its grammar allows: what nft compiles from the text
// of a rule is listed as the same text.
func TestNFTReadsBack(t *testing.T) {
	s := newStage(t)
	s.become(Desired(edge()))
	want := normal(s.nft("list", "ruleset"))
	s.nft("flush", "ruleset")
	s.nft(strings.TrimSpace(want))
	if diff := cmp.Diff(want, normal(s.nft("list", "ruleset"))); diff != "" {
		t.Errorf("nft reads its own listing as something else (-ours +nft):\n%s", diff)
	}
}
