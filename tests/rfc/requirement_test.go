package rfc

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// requirement is a scenario with its first lines:
//
//	# RFC 4787 REQ-6: an outgoing packet refreshes the mapping
//	# holds
type requirement struct {
	RFC    int
	Number string // "REQ-3a"
	Text   string
	Result string
	script []byte
}

var (
	headline = regexp.MustCompile(`^# RFC ([0-9]{4}) (REQ-[0-9]+[a-z]?): (.+)$`)
	verdict  = regexp.MustCompile(`^# (holds|holds in part: .+|does not hold: .+)$`)
)

func parse(file string, script []byte) (requirement, error) {
	lines := strings.SplitN(string(script), "\n", 3)
	if len(lines) < 3 {
		return requirement{}, fmt.Errorf("%s: ends within its first lines", file)
	}
	first, second := headline.FindStringSubmatch(lines[0]), verdict.FindStringSubmatch(lines[1])
	if first == nil || second == nil {
		return requirement{}, fmt.Errorf("%s: begins with %q and %q, want %q and %q", file, lines[0], lines[1],
			"# RFC 4787 REQ-6: what it requires", "# holds, # holds in part: why, or # does not hold: why")
	}
	number, err := strconv.Atoi(first[1])
	r := requirement{RFC: number, Number: first[2], Text: first[3], Result: second[1], script: script}
	if want := r.name() + ".txtar"; err == nil && filepath.Base(file) != want {
		err = fmt.Errorf("%s: is about %s, so it must be called %s", file, r.name(), want)
	}
	return r, err
}

// name is that of the subtest.
func (r requirement) name() string { return fmt.Sprintf("%d-%s", r.RFC, r.Number) }

// compare puts requirements in the order of the RFCs.
func compare(a, b requirement) int {
	return cmp.Or(cmp.Compare(a.RFC, b.RFC), cmp.Compare(len(digits(a.Number)), len(digits(b.Number))), cmp.Compare(a.Number, b.Number))
}

func digits(s string) string {
	return strings.TrimRight(strings.TrimPrefix(s, "REQ-"), "abcdefghijklmnopqrstuvwxyz")
}

// table prints rows as Markdown, every column as wide as its widest cell.
func table(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	line := make([]string, len(width))
	for i, n := range width {
		line[i] = strings.Repeat("-", n)
	}
	var b strings.Builder
	for _, row := range slices.Insert(slices.Clone(rows), 1, line) {
		for i, cell := range row {
			fmt.Fprintf(&b, "| %-*s ", width[i], cell)
		}
		b.WriteString("|\n")
	}
	return b.String()
}
