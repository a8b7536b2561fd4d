package config

import (
	"embed"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// sources are the files that declare the document's types: their comments are the schema's descriptions.
//
//go:embed fleet.go health.go limits.go
var sources embed.FS

// Schema returns the JSON schema (draft 2020-12) of a fleet document, for editors. It knows names, types, values and
// ranges; what takes more than one value to tell only [Parse] knows.
func Schema() ([]byte, error) {
	comments, err := comments()
	if err != nil {
		return nil, fmt.Errorf("generate schema: %w", err)
	}
	reflector := jsonschema.Reflector{
		FieldNameTag: "yaml",
		Anonymous:    true,
		Mapper:       schemaOf,
		CommentMap:   comments,
	}
	schema := reflector.Reflect(&Fleet{})
	schema.Title = "Culvert fleet"
	for _, t := range structs(reflect.TypeFor[Fleet]()) {
		refine(schema.Definitions[t.Name()], t)
	}
	data, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("generate schema: %w", err)
	}
	return append(data, '\n'), nil
}

// schemaOf returns the schema of the types that are scalars in the document, and nil for others.
func schemaOf(t reflect.Type) *jsonschema.Schema {
	if known := words[t]; known != nil {
		s := &jsonschema.Schema{Type: "string"}
		for _, word := range known {
			s.Enum = append(s.Enum, word)
		}
		return s
	}
	switch t {
	case reflect.TypeFor[netip.Addr]():
		return &jsonschema.Schema{Type: "string", AnyOf: []*jsonschema.Schema{{Format: "ipv4"}, {Format: "ipv6"}}}
	case reflect.TypeFor[netip.Prefix]():
		return &jsonschema.Schema{Type: "string", Pattern: `^[0-9a-fA-F.:]+/[0-9]{1,3}$`}
	case reflect.TypeFor[MAC]():
		return &jsonschema.Schema{Type: "string", Pattern: `^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$`}
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`}
	}
	return nil
}

// refine adds to the schema of a struct what the struct tags of this package say, and the patterns of names.
func refine(schema *jsonschema.Schema, t reflect.Type) {
	for _, f := range shapeOf(t) {
		property, _ := schema.Properties.Get(f.key)
		number := property
		if property.Items != nil {
			number = property.Items
			if f.required {
				one := uint64(1)
				property.MinItems = &one
			}
		}
		if f.limits != nil && number.Type == "integer" {
			number.Minimum = json.Number(f.limits.minText)
			number.Maximum = json.Number(f.limits.maxText)
			if f.limits.step > 1 {
				number.MultipleOf = json.Number(fmt.Sprint(f.limits.step))
			}
		}
		longest := uint64(maxName)
		switch f.key {
		case "name":
			if t == reflect.TypeFor[Tenant]() {
				longest = maxTenantName
			}
			property.Pattern, property.MaxLength = namePattern, &longest
		case "device", "uplink":
			property.Pattern = devicePattern
		}
	}
	if t == reflect.TypeFor[NATGateway]() {
		schema.OneOf = []*jsonschema.Schema{{Required: []string{"portsPerHost"}}, {Required: []string{"portsPerInterface"}}}
	}
}

// structs returns the struct types of the document that can be reached from t, with t.
func structs(t reflect.Type) []reflect.Type {
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		return structs(t.Elem())
	case reflect.Struct:
		if schemaOf(t) != nil {
			return nil
		}
		found := []reflect.Type{t}
		for i := range t.NumField() {
			found = append(found, structs(t.Field(i).Type)...)
		}
		return found
	}
	return nil
}

// docLink is a link to a declaration in a comment, which an editor cannot follow.
var docLink = regexp.MustCompile(`\[([A-Z][A-Za-z.]*)\]`)

// comments returns the doc comments of types ("path.Type") and fields ("path.Type.Field").
func comments() (map[string]string, error) {
	texts := map[string]string{}
	files, err := sources.ReadDir(".")
	if err != nil {
		return nil, err
	}
	path := reflect.TypeFor[Fleet]().PkgPath()
	for _, entry := range files {
		data, err := sources.ReadFile(entry.Name())
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), data, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, declaration := range file.Decls {
			general, ok := declaration.(*ast.GenDecl)
			if !ok || general.Tok != token.TYPE {
				continue
			}
			for _, spec := range general.Specs {
				typeComments(texts, path, general.Doc, spec.(*ast.TypeSpec))
			}
		}
	}
	return texts, nil
}

// typeComments adds the comments of one type. A comment above several fields ("IPv4 and IPv6 are ...") is that of the
// fields without one, too.
func typeComments(texts map[string]string, path string, doc *ast.CommentGroup, spec *ast.TypeSpec) {
	name := path + "." + spec.Name.Name
	texts[name] = plainText(doc)
	fields, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	above := ""
	for _, f := range fields.Fields.List {
		text := plainText(f.Doc)
		if text == "" && strings.Contains(above, f.Names[0].Name) {
			text = above
		}
		above = text
		texts[name+"."+f.Names[0].Name] = text
	}
}

// plainText returns a comment as one line without links.
func plainText(doc *ast.CommentGroup) string {
	return docLink.ReplaceAllString(strings.Join(strings.Fields(doc.Text()), " "), "$1")
}
