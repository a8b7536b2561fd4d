package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// decode fills v, which must be addressable, from the node. A value that cannot be decoded is reported and stays zero;
// lists keep their length, so an index means the same in the document and in the fleet.
func (d *document) decode(n *yaml.Node, v reflect.Value, l *limits) {
	if !d.plain(n) {
		return
	}
	if d.decodeText(n, v, l) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.decode(n, v.Elem(), l)
	case reflect.Struct:
		d.decodeStruct(n, v)
	case reflect.Slice:
		d.decodeSlice(n, v, l)
	case reflect.String:
		d.decodeString(n, v)
	case reflect.Bool:
		if n.ShortTag() != "!!bool" {
			d.mismatch(n, "a truth value", "write true or false")
			return
		}
		v.SetBool(strings.EqualFold(n.Value, "true"))
	case reflect.Int:
		if i, ok := d.decodeInt(n, l); ok {
			v.SetInt(i)
		}
	case reflect.Uint16, reflect.Uint32:
		if i, ok := d.decodeInt(n, l); ok {
			v.SetUint(uint64(i))
		}
	default:
		panic(fmt.Sprintf("no way to decode a %s", v.Type()))
	}
}

// plain reports whether the node is free of the parts of YAML that a fleet does without: they would let one place in
// the file stand for many, and let a small file describe a huge fleet.
func (d *document) plain(n *yaml.Node) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		d.refuse(n, "is an alias, which a fleet cannot use", "write out the value it stands for")
	case n.Anchor != "":
		d.refuse(n, "has an anchor, which a fleet cannot use", fmt.Sprintf("remove &%s and write out the values that refer to it", n.Anchor))
	case n.Style&yaml.TaggedStyle != 0:
		d.refuse(n, "has a tag, which a fleet cannot use", fmt.Sprintf("remove %s", n.ShortTag()))
	default:
		return true
	}
	return false
}

// decodeText decodes the types that have a notation of their own, which may be quoted or not. It reports whether v is
// of such a type.
func (d *document) decodeText(n *yaml.Node, v reflect.Value, l *limits) bool {
	var want string
	switch v.Addr().Interface().(type) {
	case *netip.Addr:
		want = "an IP address"
	case *netip.Prefix:
		want = "a prefix"
	case *MAC:
		want = "a MAC address"
	case *time.Duration:
		want = "a duration"
	default:
		return false
	}
	if n.Kind != yaml.ScalarNode {
		d.mismatch(n, want, fmt.Sprintf("write %s", want))
		return true
	}
	var f *fault
	switch p := v.Addr().Interface().(type) {
	case *netip.Addr:
		*p, f = parseAddr(n.Value)
	case *netip.Prefix:
		*p, f = parsePrefix(n.Value)
	case *MAC:
		*p, f = parseMAC(n.Value)
	case *time.Duration:
		*p, f = parseDuration(n.Value, l)
	}
	if f != nil {
		v.SetZero()
		d.refuse(n, f.message, f.remedy)
	}
	return true
}

// decodeStruct decodes a mapping. Problems with its keys do not hide those of its values.
func (d *document) decodeStruct(n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, "a mapping", fmt.Sprintf("write its fields: %s", strings.Join(keysOf(v.Type()), ", ")))
		return
	}
	fields := shapeOf(v.Type())
	seen := make([]*yaml.Node, len(fields))
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.report(key, "is not the name of a field", fmt.Sprintf("use one of %s", strings.Join(keysOf(v.Type()), ", ")))
			continue
		}
		if key.ShortTag() == "!!merge" {
			d.report(key, "is a merge key, which a fleet cannot use", "write out the fields it stands for")
			continue
		}
		at := slices.IndexFunc(fields, func(f field) bool { return f.key == key.Value })
		switch {
		case !d.plain(key):
		case at < 0:
			d.report(key, "unknown field", fmt.Sprintf("use one of %s", strings.Join(keysOf(v.Type()), ", ")))
		case seen[at] != nil:
			d.report(key, fmt.Sprintf("field is already set (line %d)", seen[at].Line), "remove one of the two")
		case isNull(value):
			seen[at] = key
			d.report(key, "field has no value", "give it a value or remove it")
		default:
			seen[at] = key
			d.decode(value, v.Field(fields[at].index), fields[at].limits)
			if fields[at].filled && value.Kind == yaml.SequenceNode && len(value.Content) == 0 {
				d.refuse(value, fmt.Sprintf("%s has no entries", key.Value), "add at least one")
			}
		}
	}
	for i, f := range fields {
		if f.required && seen[i] == nil {
			d.report(n, fmt.Sprintf("field %s is missing", f.key), fmt.Sprintf("add %s", f.key))
		}
	}
}

// decodeSlice decodes a list.
func (d *document) decodeSlice(n *yaml.Node, v reflect.Value, l *limits) {
	if n.Kind != yaml.SequenceNode {
		remedy := "write a list: one entry a line, each after a dash"
		if n.Kind == yaml.ScalarNode {
			remedy = fmt.Sprintf("write [%s]", clip(n.Value))
		}
		d.mismatch(n, "a list", remedy)
		return
	}
	// An empty list says the same as none; one representation makes fleets comparable.
	if len(n.Content) == 0 {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, entry := range n.Content {
		if isNull(entry) {
			d.refuse(entry, "entry has no value", "give it a value or remove it")
			continue
		}
		d.decode(entry, v.Index(i), l)
	}
}

// decodeString decodes a text, or one word of those that the type knows.
func (d *document) decodeString(n *yaml.Node, v reflect.Value) {
	known := words[v.Type()]
	if n.Kind != yaml.ScalarNode || known == nil && n.ShortTag() != "!!str" && n.ShortTag() != "!!timestamp" {
		remedy := "write a text"
		if n.Kind == yaml.ScalarNode {
			remedy = fmt.Sprintf("write %q in quotes if it is meant as a text", clip(n.Value))
		}
		d.mismatch(n, "a text", remedy)
		return
	}
	switch {
	case known != nil && !slices.Contains(known, n.Value):
		d.refuse(n, "unknown value", fmt.Sprintf("use one of %s", strings.Join(known, ", ")))
	case n.Value == "":
		d.refuse(n, "is empty", "write a text or remove the field")
	default:
		v.SetString(n.Value)
	}
}

// decodeInt decodes a number.
func (d *document) decodeInt(n *yaml.Node, l *limits) (int64, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" && n.ShortTag() != "!!float" {
		remedy := "write a number"
		if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			remedy = "write a number without quotes"
		}
		d.mismatch(n, "a number", remedy)
		return 0, false
	}
	i, f := parseInt(n.Value, l)
	if f != nil {
		d.refuse(n, f.message, f.remedy)
		return 0, false
	}
	return i, true
}

// mismatch reports that the node is something else than wanted.
func (d *document) mismatch(n *yaml.Node, want, remedy string) {
	d.refuse(n, fmt.Sprintf("is %s, not %s", describe(n), want), remedy)
}

// describe names what kind of value the document has there.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a truth value"
	case "!!null":
		return "empty"
	}
	return "a text"
}

// isNull reports whether the node stands for no value.
func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

// keysOf lists the fields of a struct type.
func keysOf(t reflect.Type) []string {
	var keys []string
	for _, f := range shapeOf(t) {
		keys = append(keys, f.key)
	}
	return keys
}
