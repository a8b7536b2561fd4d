package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

// words holds the values of the types that know only some.
var words = map[reflect.Type][]string{
	reflect.TypeFor[Role]():          {string(Hypervisor), string(LoadBalancer), string(Edge)},
	reflect.TypeFor[HostState]():     {string(Up), string(Down)},
	reflect.TypeFor[Protocol]():      {string(TCP), string(UDP), string(SCTP)},
	reflect.TypeFor[CheckProtocol](): {string(CheckTCP), string(CheckHTTP), string(CheckHTTPS), string(CheckUDP), string(CheckICMP)},
}

// field is one field of a struct as the document writes it. Struct tags are the only place that says these things:
// the decoder and the schema both read them.
type field struct {
	key      string
	index    int
	required bool // the yaml tag has no omitempty
	filled   bool // required, or the tag entries:"some": a list that is there has an entry
	limits   *limits
}

// limits is the range of a number or a duration; the zero step means 1.
type limits struct {
	min, max         int64
	step             int64
	minText, maxText string
}

// String returns the range as a message says it: "1-65535".
func (l *limits) String() string { return l.minText + "-" + l.maxText }

var shapes sync.Map // of reflect.Type to []field

// shapeOf returns the fields of a struct type in the order of declaration.
func shapeOf(t reflect.Type) []field {
	if known, ok := shapes.Load(t); ok {
		return known.([]field)
	}
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		key, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		required := option != "omitempty"
		fields = append(fields, field{key: key, index: i, required: required, filled: required || f.Tag.Get("entries") == "some", limits: limitsOf(f)})
	}
	shapes.Store(t, fields)
	return fields
}

// limitsOf reads the tags `range:"min..max"` and `step:"n"`. A wrong tag is a mistake in this package and panics.
func limitsOf(f reflect.StructField) *limits {
	low, high, ok := strings.Cut(f.Tag.Get("range"), "..")
	if !ok {
		return nil
	}
	parse := func(s string) int64 {
		if f.Type == reflect.TypeFor[time.Duration]() {
			d, err := time.ParseDuration(s)
			if err != nil {
				panic(fmt.Sprintf("field %s: %v", f.Name, err))
			}
			return int64(d)
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			panic(fmt.Sprintf("field %s: %v", f.Name, err))
		}
		return n
	}
	l := &limits{min: parse(low), max: parse(high), step: 1, minText: low, maxText: high}
	if step := f.Tag.Get("step"); step != "" {
		l.step = parse(step)
	}
	return l
}
