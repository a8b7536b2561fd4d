package config

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

func TestSchemaGolden(t *testing.T) {
	got, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/schema.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("schema differs from %s (write it with -update):\n%s", golden, diff)
	}
}

// TestSchemaAgrees compares the schema with what the decoder knows about every struct.
func TestSchemaAgrees(t *testing.T) {
	data, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs map[string]struct {
			Properties           map[string]struct{ Description string }
			Required             []string
			AdditionalProperties *bool
			Description          string
		} `json:"$defs"`
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	all := structs(reflect.TypeFor[Fleet]())
	if len(schema.Defs) != len(all) {
		t.Errorf("schema has %d types, the document %d", len(schema.Defs), len(all))
	}
	for _, s := range all {
		def := schema.Defs[s.Name()]
		if def.AdditionalProperties == nil || *def.AdditionalProperties || def.Description == "" {
			t.Errorf("%s allows unknown fields or has no description", s.Name())
		}
		var required []string
		for _, f := range shapeOf(s) {
			if _, ok := def.Properties[f.key]; !ok {
				t.Errorf("%s has no %s in the schema", s.Name(), f.key)
			}
			if f.required {
				required = append(required, f.key)
			}
		}
		if diff := cmp.Diff(required, def.Required); diff != "" {
			t.Errorf("%s requires other fields in the schema:\n%s", s.Name(), diff)
		}
	}
	if text := schema.Defs["Overlay"].Properties["ipv6"].Description; text != schema.Defs["Overlay"].Properties["ipv4"].Description || text == "" {
		t.Errorf("a comment on two fields is that of one: %q", text)
	}
}
