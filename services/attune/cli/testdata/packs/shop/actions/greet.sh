for i in $(seq "$times"); do echo "hello $name $i"; done
echo "greeted $times times" >&2
printf '{"greeted":"%s","times":%s}' "$name" "$times" > "$ATTUNE_RESULT_FILE"
