// Says what rules of custom resources cost, as an API server reckons: what each may cost at most by
// its schema, and what it did cost for a value. Reads cases and prints them with the answers:
//
//	cd tools/cel_costs && go run . < ../../tests/kubesim/cel_costs.json > costs.json
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/google/cel-go/interpreter"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	rules "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/common"
	"k8s.io/apiserver/pkg/cel/environment"
)

type rule struct {
	Text string `json:"rule"`
	// What it may cost at most, and what it did cost.
	Estimate uint64 `json:"estimate"`
	Steps    uint64 `json:"steps"`
	Says     string `json:"says"`
}

type fixture struct {
	Schema json.RawMessage `json:"schema"`
	IsRoot bool            `json:"root,omitempty"`
	Value  any             `json:"value"`
	// How many such values there may be in one request.
	Repeated uint64  `json:"repeated"`
	Rules    []*rule `json:"rules"`
}

type variables struct{ self any }

func (v variables) ResolveName(name string) (any, bool) { return v.self, name == "self" }
func (v variables) Parent() interpreter.Activation      { return nil }

func main() {
	var fixtures []*fixture
	check(json.NewDecoder(os.Stdin).Decode(&fixtures))
	base := environment.MustBaseEnvSet(version.MajorMinor(1, 36))
	for _, each := range fixtures {
		answer(each, base)
	}
	text, err := json.MarshalIndent(fixtures, "", " ")
	check(err)
	fmt.Println(string(text))
}

func answer(each *fixture, base *environment.EnvSet) {
	var published v1.JSONSchemaProps
	check(json.Unmarshal(each.Schema, &published))
	for _, one := range each.Rules {
		published.XValidations = append(published.XValidations, v1.ValidationRule{Rule: one.Text})
	}
	var internal apiextensions.JSONSchemaProps
	check(v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(&published, &internal, nil))
	structural, err := schema.NewStructural(&internal)
	check(err)
	declared := model.SchemaDeclType(structural, each.IsRoot)
	const unlimited = 1 << 62
	seen := structural
	if each.IsRoot {
		seen = model.WithTypeAndObjectMeta(structural)
	}
	compiled, err := rules.Compile(structural, declared, unlimited, base, rules.NewExpressionsEnvLoader())
	check(err)
	for place, found := range compiled {
		one := each.Rules[place]
		if found.Error != nil {
			one.Says = found.Error.Detail
			continue
		}
		one.Estimate, each.Repeated = found.MaxCost, found.MaxCardinality
		if each.Value == nil {
			continue
		}
		self := common.UnstructuredToVal(whole(each.Value), &model.Structural{Structural: seen})
		value, details, err := found.Program.ContextEval(context.Background(), variables{self})
		one.Steps = *details.ActualCost()
		if err != nil {
			one.Says = err.Error()
		} else {
			one.Says = fmt.Sprint(value.Value())
		}
	}
}

// Whole numbers are integers, as an API server decodes them.
func whole(value any) any {
	switch held := value.(type) {
	case map[string]any:
		for key := range held {
			held[key] = whole(held[key])
		}
	case []any:
		for place := range held {
			held[place] = whole(held[place])
		}
	case float64:
		if held == float64(int64(held)) {
			return int64(held)
		}
	}
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
