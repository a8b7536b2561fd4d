package config_test

import (
	"errors"
	"fmt"

	"github.com/culvertnet/culvert/config"
)

func ExampleParse() {
	_, err := config.Parse("fleet.yaml", []byte(`hosts:
  - {name: hv1, underlay: 192.0.2.1, roles: [hypervisor]}
  - {name: hv2, underlay: 192.0.2.1, roles: [hypervisr]}
`))
	fmt.Println(err)
	var problems config.Problems
	if errors.As(err, &problems) {
		fmt.Println(len(problems), "problems, the first one in line", problems[0].Line)
	}
	// Output:
	// fleet.yaml:3:27: "192.0.2.1": underlay address is already that of host hv1 (line 2); give every host its own underlay address
	// fleet.yaml:3:46: "hypervisr": unknown value; use one of hypervisor, loadbalancer, edge
	// 2 problems, the first one in line 3
}
