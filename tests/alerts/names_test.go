package alerts

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// others are metrics that are not ours, of the scrape and the process, without labels of their own.
var others = []string{"up", "process_resident_memory_bytes"}

var (
	metricLine  = regexp.MustCompile("(?m)^\\| `(culvert_\\w+)` \\| \\w+ \\| ([^|]*) \\|")
	counterLine = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|")
	labelName   = regexp.MustCompile(`\w+`)
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// vocabulary is what expressions may speak of.
type vocabulary struct {
	// metrics have their labels, job and instance of the scrape among them.
	metrics map[string][]string
	reasons []string
}

func newVocabulary(t *testing.T) vocabulary {
	t.Helper()
	v := vocabulary{metrics: make(map[string][]string)}
	for _, name := range others {
		v.metrics[name] = []string{"job", "instance"}
	}
	for _, m := range metricLine.FindAllStringSubmatch(read(t, "docs/metrics.md"), -1) {
		v.metrics[m[1]] = append(labelName.FindAllString(m[2], -1), "job", "instance")
	}
	for _, m := range counterLine.FindAllStringSubmatch(read(t, "docs/ruleset.md"), -1) {
		v.reasons = append(v.reasons, m[1])
	}
	if len(v.metrics) < 40 || len(v.reasons) < 20 {
		t.Fatalf("%d metrics, %d reasons", len(v.metrics), len(v.reasons))
	}
	return v
}

// check parses an expression and says what it speaks of that there is not.
func (v vocabulary) check(expression string) []string {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expression)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			out = append(out, v.checkSelector(s)...)
		}
		return nil
	})
	return out
}

func (v vocabulary) checkSelector(s *parser.VectorSelector) []string {
	known, ok := v.metrics[s.Name]
	if !ok {
		return []string{fmt.Sprintf("there is no metric %s", s.Name)}
	}
	var out []string
	for _, m := range s.LabelMatchers {
		switch {
		case m.Name == model.MetricNameLabel:
		case !slices.Contains(known, m.Name):
			out = append(out, fmt.Sprintf("%s has no label %s", s.Name, m.Name))
		case m.Name == "reason":
			for _, word := range labelName.FindAllString(m.Value, -1) {
				if !slices.Contains(v.reasons, word) {
					out = append(out, fmt.Sprintf("there is no counter %s", word))
				}
			}
		}
	}
	return out
}

// TestCheck has expressions that speak of what there is not.
func TestCheck(t *testing.T) {
	v := newVocabulary(t)
	for expression, want := range map[string]string{
		`sum by (tenant) (rate(culvert_dropped_packets_total{reason=~"spoofed|forged", job="x"}[5m]))`: "",
		`culvert_dropped_packets_total{reason="spoofd"}`:                                               "there is no counter spoofd",
		`culvert_ready{tenant="acme"}`:                                                                 "culvert_ready has no label tenant",
		`rate(culvert_nothing_total[5m])`:                                                              "there is no metric culvert_nothing_total",
		`sum(`:                                                                                         "unclosed",
	} {
		got := v.check(expression)
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
}
