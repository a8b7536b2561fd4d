package config

import (
	"reflect"
	"strings"
	"testing"
)

// TestShapes holds what the decoder takes for granted about every struct of the document.
func TestShapes(t *testing.T) {
	for _, s := range structs(reflect.TypeFor[Fleet]()) {
		for i, f := range shapeOf(s) {
			declared := s.Field(i)
			name := s.Name() + "." + declared.Name
			if f.key == "" || !strings.EqualFold(f.key, declared.Name) {
				t.Errorf("%s is called %q in the document", name, f.key)
			}
			switch declared.Type.Kind() {
			case reflect.Int, reflect.Uint16, reflect.Uint32:
				// Without limits a number too large for the type would be cut off silently.
				if f.limits == nil {
					t.Errorf("%s has no range", name)
				}
			}
			if l := f.limits; l != nil && (l.min > l.max || l.min%l.step != 0 || l.max%l.step != 0) {
				t.Errorf("%s has the range %s in steps of %d", name, l, l.step)
			}
			if declared.Type.Kind() == reflect.Pointer && f.required {
				t.Errorf("%s is a pointer and required", name)
			}
		}
	}
}

// TestWrongTag shows that a tag that cannot be read is found by the first use, not by an operator.
func TestWrongTag(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	shapeOf(reflect.TypeFor[struct {
		Wrong int `yaml:"wrong" range:"one..two"`
	}]())
}
