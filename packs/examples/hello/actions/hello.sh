echo "Hello, $name!"
