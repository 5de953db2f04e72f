package expression

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// adapter makes CEL values of ours. It differs from CEL's in whole numbers beyond 64 bits, which stay exact.
type adapter struct{ types.Adapter }

// NativeToValue is what CEL calls for every value that an expression touches.
func (a adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case json.Number:
		return number(v)
	case map[string]any:
		return types.NewStringInterfaceMap(a, v)
	case []any:
		return types.NewDynamicList(a, v)
	default:
		return a.Adapter.NativeToValue(v)
	}
}

func number(n json.Number) ref.Val {
	if i, err := n.Int64(); err == nil {
		return types.Int(i)
	}
	if !strings.ContainsAny(string(n), ".eE") {
		return wide(n)
	}
	f, err := n.Float64()
	if err != nil {
		return types.NewErr("number %s: %s", clip(string(n), maxQuoted), err)
	}
	return types.Double(f)
}

// wide is a whole number that does not fit 64 bits. It can be compared for equality, turned into text or a
// double, and passed on.
type wide json.Number

var wideType = types.NewOpaqueType("attune.wide")

// ConvertToNative gives the number's text.
func (w wide) ConvertToNative(t reflect.Type) (any, error) {
	if t.Kind() == reflect.String {
		return reflect.ValueOf(string(w)).Convert(t).Interface(), nil
	}
	return nil, fmt.Errorf("number %s cannot become %s", clip(string(w), maxQuoted), t)
}

// ConvertToType makes text or a double of it.
func (w wide) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.StringType:
		return types.String(w)
	case types.DoubleType:
		f, _ := json.Number(w).Float64()
		return types.Double(f)
	case types.TypeType:
		return wideType
	default:
		return types.NewErr("number %s does not fit %s", clip(string(w), maxQuoted), t.TypeName())
	}
}

// Equal compares by value.
func (w wide) Equal(other ref.Val) ref.Val {
	o, ok := other.(wide)
	if !ok {
		return types.False
	}
	a, okA := new(big.Int).SetString(string(w), 10)
	b, okB := new(big.Int).SetString(string(o), 10)
	return types.Bool(okA && okB && a.Cmp(b) == 0)
}

// Type gives a type of its own.
func (w wide) Type() ref.Type { return wideType }

// Value gives the json.Number.
func (w wide) Value() any { return json.Number(w) }
