package config

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// Encode writes the fleet as a document that [Parse] reads back to an equal fleet. Comments of the document that the
// fleet came from are not kept. Encode does not validate.
func (f *Fleet) Encode() ([]byte, error) {
	data, err := yaml.Dump(f)
	if err != nil {
		return nil, fmt.Errorf("encode fleet: %w", err)
	}
	return data, nil
}
