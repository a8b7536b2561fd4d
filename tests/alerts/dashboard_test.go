package alerts

import (
	"encoding/json"
	"strings"
	"testing"
)

// dashboard is what of Grafana's format is looked at.
type dashboard struct {
	Title, UID string
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []struct {
		ID          int
		Title, Type string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct {
			Expr  string
			RefID string `json:"refId"`
		}
	}
}

// variables are what Grafana puts in their places.
var variables = strings.NewReplacer("$__rate_interval", "1m", "$job", "culvert", "$instance", ".*", "$tenant", ".*")

// TestDashboard parses every expression, holds it to the metrics that there are, and asks a world in which nothing is wrong: panels that
// show something then do.
func TestDashboard(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "packaging/grafana/culvert.json")), &d); err != nil {
		t.Fatal(err)
	}
	v, w := newVocabulary(t), healthy(t).with(t, map[string]value{"process_resident_memory_bytes": always(5e7)})
	if d.Title == "" || d.UID == "" || len(d.Panels) < 10 {
		t.Errorf("%q, %q, %d panels", d.Title, d.UID, len(d.Panels))
	}
	ids, cells := make(map[int]bool), make(map[[2]int]string)
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: id %d is there twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := cells[at]; other != "" || at[0] >= 24 {
					t.Fatalf("%s lies on %s, or beside the board", p.Title, other)
				}
				cells[at] = p.Title
			}
		}
		if (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("%s: %d expressions", p.Title, len(p.Targets))
		}
		shown := 0
		for _, target := range p.Targets {
			expression := variables.Replace(target.Expr)
			found := v.check(expression)
			for _, what := range found {
				t.Errorf("%s: %s: %s", p.Title, expression, what)
			}
			if len(found) == 0 {
				shown += len(w.ask(t, expression, lasts))
			}
		}
		if quiet := p.Title == "Dropped and refused, by reason"; shown == 0 && p.Type != "row" && !quiet {
			t.Errorf("%s shows nothing", p.Title)
		}
	}
	for _, variable := range d.Templating.List {
		if variable.Type != "query" {
			continue
		}
		selector, _, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(variable.Definition, "label_values("), ")"), ", "+variable.Name)
		for _, what := range v.check(variables.Replace(selector)) {
			t.Errorf("variable %s: %s", variable.Name, what)
		}
	}
}
