package events

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// slowest is how many of the slowest tests are listed.
const slowest = 10

// Report prints the failures with their output, the slowest tests, the skips
// by reason, and the closing line alone on the last line.
func (t *Tally) Report(w io.Writer) {
	r := t.Results()
	for _, failed := range r.Failed {
		fmt.Fprintf(w, "\nFAIL %s (%s, %.2fs)\n%s", failed.name(), failed.Stream.Name, failed.Elapsed, indent(end(failed.Output)))
	}
	for _, text := range r.Broken {
		fmt.Fprintf(w, "\nFAIL %s\n", text)
	}
	r.reportSlowest(w)
	r.reportSkips(w)
	fmt.Fprintln(w)
	fmt.Fprintln(w, r.Line())
}

// Line is the closing line.
func (r Results) Line() string {
	passed, failed, skipped := r.Counts()
	return fmt.Sprintf("%d passed, %d failed, %d skipped", passed, failed, skipped)
}

func (r Results) reportSlowest(w io.Writer) {
	all := slices.Concat(r.Passed, r.Failed)
	all = slices.DeleteFunc(all, func(r Result) bool { return r.Elapsed == 0 })
	slices.SortStableFunc(all, func(a, b Result) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(w, "\nslowest:")
	for _, one := range all[:min(slowest, len(all))] {
		fmt.Fprintf(w, "  %7.2fs  %-5s %s\n", one.Elapsed, one.Stream.Name, one.name())
	}
}

func (r Results) reportSkips(w io.Writer) {
	if len(r.Skipped) == 0 {
		return
	}
	byReason := make(map[string][]string)
	for _, one := range r.Skipped {
		reason := one.Stream.Name + ": " + one.Reason()
		byReason[reason] = append(byReason[reason], one.name())
	}
	fmt.Fprintln(w, "\nskipped:")
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		fmt.Fprintf(w, "  %s\n", reason)
		for _, name := range byReason[reason] {
			fmt.Fprintf(w, "    %s\n", name)
		}
	}
}

// message matches what t.Log, t.Error, t.Skip and the like print.
var message = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.*)$`)

// Reason is the last message of a test, which of a skipped one says why.
func (r Result) Reason() string {
	all := message.FindAllStringSubmatch(r.Output, -1)
	if len(all) == 0 {
		return "no reason given"
	}
	return all[len(all)-1][1]
}

func (r Result) name() string {
	return strings.TrimSpace(r.Package + " " + r.Test)
}

// endLines is how much of a failure's output is shown: what went wrong is at its end, and who reads the report may see only the first
// lines of it. The streams' own files have all.
const endLines = 40

// end returns the last lines of a text.
func end(text string) string {
	lines := slices.Collect(strings.Lines(text))
	left := len(lines) - endLines
	if left <= 0 {
		return text
	}
	return fmt.Sprintf("(%d lines before)\n", left) + strings.Join(lines[left:], "")
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("    " + strings.TrimSuffix(line, "\n") + "\n")
	}
	return b.String()
}
