echo "here we are"
exec sleep 600
