// Package config reads the fleet document: what the operator declares.
//
//	fleet, err := config.Load("fleet.yaml")
//	if err != nil {
//		return err // config.Problems: one line each, with file, line, column, text and remedy
//	}
//	fmt.Println(fleet.Tenants[0].Name)
//
// The document mirrors the types of this package. Struct tags say what a field is called (yaml; required without
// omitempty) and which values it takes (range, step); the decoder and [Schema] read the same tags. Reading has three
// steps: the YAML parser makes a tree with positions, the decoder fills the fleet from it field by field and goes on
// after a wrong one, and the checks look at what takes more than one value to tell.
//
// Be aware:
//   - A syntax error is the only problem that hides others: there is no tree behind it.
//   - Anchors, aliases, merge keys, tags and several documents in a file are refused.
//   - Whether the blocks of a NAT gateway fit on its addresses is for the allocation to say, not for this package.
//   - A virtual IP leads to the first private address of its family if the interface has several.
//   - Comments are lost when a fleet is written back with [Fleet.Encode].
//   - 100 000 interfaces (10 MB) take 1.3 s to read and check and 0.35 GB of memory, 1 000 000 (106 MB) take 14.5 s and
//     3.3 GB; two thirds of it are the YAML parser's. It is go.yaml.in/yaml/v4 for that reason: for 100 000 interfaces
//     the tree alone took goccy/go-yaml 5.0 s and 1.0 GB against 1.0 s and 0.3 GB, and its line numbers were wrong after
//     a comment that ends in a carriage return.
package config
