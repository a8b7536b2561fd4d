package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a fleet document, and where.
type Problem struct {
	// File is the name that was given to [Parse].
	File string
	// Line and Column say where the offending text begins. Both count from 1; columns are characters, not bytes.
	Line, Column int
	// Text is the offending text: a scalar's value, or else what the line holds from Column on; at most 64 characters.
	Text string
	// Message says what is wrong with it.
	Message string
	// Remedy says what the operator can do about it.
	Remedy string
}

// Error returns the problem as "file:line:column: "text": message; remedy".
func (p Problem) Error() string {
	return fmt.Sprintf("%s:%d:%d: %q: %s; %s", p.File, p.Line, p.Column, p.Text, p.Message, p.Remedy)
}

// Problems is everything that is wrong with a document, sorted by position. [Parse] returns it as its error; get it
// back with errors.As.
type Problems []Problem

// Error returns one line for each problem.
func (ps Problems) Error() string {
	var lines []string
	for _, p := range ps {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

// sort orders the problems by position and drops repetitions.
func (ps Problems) sort() Problems {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
}
