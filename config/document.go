package config

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxText is how many characters of the source a problem quotes.
const maxText = 64

// document is a parsed file with the problems found in it so far.
type document struct {
	name     string
	data     []byte
	lines    []string // data by lines; made when the first problem is reported
	last     cursor   // where rest was asked for last
	root     *yaml.Node
	problems Problems
	// refused holds the nodes whose value could not be decoded, so that checks do not complain about them once more.
	refused map[*yaml.Node]bool
}

// read parses the bytes into d.root. It reports whether there is something to decode.
func (d *document) read() bool {
	if i := unreadable(d.data); i >= 0 {
		line, column := d.position(i)
		d.add(line, column, d.source(line, column), "is not a character of UTF-8 text", "save the file in UTF-8 without control characters")
		return false
	}
	loader, err := yaml.NewLoader(bytes.NewReader(d.data))
	if err != nil {
		d.syntax(err)
		return false
	}
	var first, second yaml.Node
	if err := loader.Load(&first); errors.Is(err, io.EOF) || err == nil && empty(&first) {
		d.add(1, 1, d.source(1, 1), "document is empty", "declare the hosts: hosts: [{name: hv1, ...}]")
		return false
	} else if err != nil {
		d.syntax(err)
		return false
	}
	d.root = first.Content[0]
	if err := loader.Load(&second); err == nil {
		line, column := max(second.Line, 1), max(second.Column, 1)
		d.add(line, column, d.source(line, column), "a second document begins", "keep the whole fleet in one document")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
	}
	return true
}

// empty reports whether a document has no content or only a null.
func empty(n *yaml.Node) bool {
	return len(n.Content) == 0 || n.Content[0].ShortTag() == "!!null"
}

// syntax reports what the YAML parser could not read.
func (d *document) syntax(err error) {
	line, column, message := 1, 1, strings.TrimPrefix(err.Error(), "yaml: ")
	var load *yaml.LoadError
	if errors.As(err, &load) {
		line, column, message = max(load.Mark.Line, 1), max(load.Mark.Column, 1), load.Message
		if load.ContextMsg != "" {
			message += " " + load.ContextMsg
		}
	}
	d.add(line, column, d.source(line, column), message, "correct the YAML syntax here or on the line before")
}

// add appends a problem.
func (d *document) add(line, column int, text, message, remedy string) {
	d.problems = append(d.problems, Problem{
		File: d.name, Line: line, Column: column, Text: text, Message: message, Remedy: remedy,
	})
}

// report appends a problem with the node n.
func (d *document) report(n *yaml.Node, message, remedy string) {
	text := d.rest(n.Line, n.Column)
	// An anchor, a tag or an escape, or a value that goes on in the next line, leave the value different from what the
	// operator sees at the position; then what the operator sees is the text.
	if n.Kind == yaml.ScalarNode && strings.HasPrefix(strings.TrimLeft(text, `"'`), n.Value) {
		text = n.Value
	}
	text = clip(text)
	d.add(n.Line, n.Column, text, message, remedy)
}

// refuse is report for a node that could not be decoded.
func (d *document) refuse(n *yaml.Node, message, remedy string) {
	if d.refused == nil {
		d.refused = map[*yaml.Node]bool{}
	}
	d.refused[n] = true
	d.report(n, message, remedy)
}

// source returns what the line holds from the column on, as far as a problem quotes it.
func (d *document) source(line, column int) string { return clip(d.rest(line, column)) }

// rest returns what the line holds from the column on. It goes on where the last call stopped, if it can: problems come
// mostly in the order of the document, and all of a document may be one line.
func (d *document) rest(line, column int) string {
	if d.lines == nil {
		d.lines = splitLines(string(d.data))
	}
	if line > len(d.lines) {
		return ""
	}
	text := d.lines[line-1]
	if d.last.line != line || d.last.column > column {
		d.last = cursor{line: line, column: 1}
	}
	for d.last.column < column && d.last.offset < len(text) {
		_, size := utf8.DecodeRuneInString(text[d.last.offset:])
		d.last.offset += size
		d.last.column++
	}
	return strings.TrimRight(text[d.last.offset:], " \t")
}

// cursor is a place in the source: column counts characters from 1, offset is the bytes before it in the line.
type cursor struct{ line, column, offset int }

// position returns line and column of a byte of the data.
func (d *document) position(offset int) (line, column int) {
	lines := splitLines(string(d.data[:offset]))
	return len(lines), utf8.RuneCountInString(lines[len(lines)-1]) + 1
}

// lineBreaks are the line breaks of YAML 1.1 (section 4.2), which the parser counts by.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n", "\ufeff", "")

// splitLines cuts a text into lines as the parser counts them; a byte order mark takes no column.
func splitLines(s string) []string {
	return strings.Split(lineBreaks.Replace(s), "\n")
}

// clip cuts a text to at most maxText characters.
func clip(s string) string {
	count := 0
	for i := range s {
		if count == maxText {
			return s[:i]
		}
		count++
	}
	return s
}

// unreadable returns the offset of the first byte that is no printable UTF-8 text (YAML 1.2 section 5.1), or -1. The
// parser refuses such input, too, but does not say where it is.
func unreadable(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1,
			r < ' ' && r != '\t' && r != '\n' && r != '\r',
			r >= 0x7f && r < 0xa0 && r != 0x85,
			r == 0xfffe || r == 0xffff,
			r == 0xfeff && i > 0:
			return i
		}
		i += size
	}
	return -1
}
