// Prints what an expression in CEL may call in Kubernetes, as an API server declares it:
//
//	cd tools/cel_functions && go run . > ../../src/poolwright/kubesim/cel_functions.json
//
// A function is a list of its forms, a type variable is in angle brackets.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"k8s.io/apiserver/pkg/cel/environment"
)

var standard = []string{
	"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint",
	"google.protobuf.Duration", "google.protobuf.Timestamp", "optional_type",
}

func main() {
	set := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())
	env, err := set.Env(environment.NewExpressions)
	if err != nil {
		panic(err)
	}
	functions := map[string][]string{}
	names := map[string]bool{}
	for _, name := range standard {
		names[name] = true
	}
	for name, function := range env.Functions() {
		for _, overload := range function.OverloadDecls() {
			sent := overload.ArgTypes()
			for _, each := range append([]*types.Type{overload.ResultType()}, sent...) {
				names[each.TypeName()] = true
			}
			receiver := ""
			if overload.IsMemberFunction() {
				receiver, sent = written(sent[0])+".", sent[1:]
			}
			parameters := make([]string, len(sent))
			for place, each := range sent {
				parameters[place] = written(each)
			}
			form := fmt.Sprintf("%s(%s) -> %s", receiver, strings.Join(parameters, ", "), written(overload.ResultType()))
			functions[name] = append(functions[name], form)
		}
	}
	known := map[string]string{}
	for name := range names {
		if found, ok := env.CELTypeProvider().FindIdent(name); ok {
			if each, ok := found.(*types.Type); ok {
				known[name] = written(each)
			}
		}
	}
	writer := json.NewEncoder(os.Stdout)
	writer.SetIndent("", " ")
	writer.SetEscapeHTML(false)
	if err := writer.Encode(map[string]any{"functions": functions, "types": known}); err != nil {
		panic(err)
	}
}

func written(each *types.Type) string {
	if each.Kind() == types.TypeParamKind {
		return "<" + each.TypeName() + ">"
	}
	if len(each.Parameters()) == 0 {
		return checker.FormatCELType(each)
	}
	parts := make([]string, len(each.Parameters()))
	for place, part := range each.Parameters() {
		parts[place] = written(part)
	}
	return fmt.Sprintf("%s(%s)", each.TypeName(), strings.Join(parts, ", "))
}
