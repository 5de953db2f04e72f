package expression

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// maxResult bounds what an evaluation may give, in bytes of JSON, roughly.
const maxResult = 1 << 20

// maxResultDepth bounds how deep a result may be nested.
const maxResultDepth = 128

var errResult = errors.New("result is " + errTooLarge)

// converter makes plain values of CEL's, the same that strictjson.Parse makes, and counts their size.
type converter struct {
	size  int
	depth int
}

func (c *converter) grow(n int) error {
	if c.size += n; c.size > maxResult {
		return errResult
	}
	return nil
}

func (c *converter) enter() error {
	if c.depth++; c.depth > maxResultDepth {
		return errResult
	}
	return c.grow(2)
}

func (c *converter) native(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.Null:
		return nil, c.grow(4)
	case types.Bool:
		return bool(v), c.grow(5)
	case types.String:
		return string(v), c.grow(len(v) + 2)
	case types.Bytes:
		return base64.StdEncoding.EncodeToString(v), c.grow(len(v) * 4 / 3)
	case types.Timestamp:
		return v.UTC().Format(time.RFC3339Nano), c.grow(32)
	case types.Duration:
		return v.ConvertToType(types.StringType).Value(), c.grow(16)
	case types.Int, types.Uint, types.Double, wide:
		return c.number(v)
	case *types.Optional:
		return c.optional(v)
	case traits.Mapper:
		return c.object(v)
	case traits.Lister:
		return c.list(v)
	default:
		return nil, fmt.Errorf("a value of type %s cannot be passed on", v.Type().TypeName())
	}
}

func (c *converter) number(v ref.Val) (any, error) {
	switch v := v.(type) {
	case types.Int:
		return json.Number(strconv.FormatInt(int64(v), 10)), c.grow(20)
	case types.Uint:
		return json.Number(strconv.FormatUint(uint64(v), 10)), c.grow(20)
	case types.Double:
		return double(float64(v))
	default:
		n, _ := v.Value().(json.Number)
		return n, c.grow(len(n))
	}
}

func double(f float64) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errors.New("the result is not a number that JSON knows")
	}
	b, err := json.Marshal(f)
	return json.Number(b), err
}

// optional gives null for a value that is not there.
func (c *converter) optional(v *types.Optional) (any, error) {
	if !v.HasValue() {
		return nil, c.grow(4)
	}
	return c.native(v.GetValue())
}

func (c *converter) list(v traits.Lister) (any, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer func() { c.depth-- }()
	list := []any{}
	for it := v.Iterator(); it.HasNext() == types.True; {
		elem, err := c.native(it.Next())
		if err != nil {
			return nil, err
		}
		list = append(list, elem)
	}
	return list, nil
}

func (c *converter) object(v traits.Mapper) (any, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	defer func() { c.depth-- }()
	object := map[string]any{}
	for it := v.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, ok := key.(types.String)
		if !ok {
			return nil, fmt.Errorf("the key %v is not text", key.Value())
		}
		value, err := c.native(v.Get(key))
		if err != nil {
			return nil, err
		}
		if err := c.grow(len(name) + 4); err != nil {
			return nil, err
		}
		object[string(name)] = value
	}
	return object, nil
}
