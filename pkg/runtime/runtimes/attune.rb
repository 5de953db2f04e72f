# Calls a method of an action: attune.rb FILE METHOD.
#
# Reads the execution from standard input, calls the method with the parameters as keyword arguments, and with the
# secrets, the configuration and the execution where it declares keywords of those names, and writes what it returns to
# the result file. A result file that begins with "!" holds a complaint about the returned value instead of a value.
require "json"

module Attune
  # JSON would turn what it cannot hold into text, silently.
  def self.plain(value)
    case value
    when nil, true, false, Integer, String, Symbol then value
    when Float
      raise TypeError, "#{value} is not JSON" unless value.finite?
      value
    when Array then value.map { |v| plain(v) }
    when Hash then value.each_with_object({}) { |(k, v), h| h[k.to_s] = plain(v) }
    else raise TypeError, "a #{value.class} is not JSON"
    end
  end

  def self.encode(value)
    JSON.generate(plain(value))
  rescue TypeError, JSON::JSONError, SystemStackError => fault
    "!#{fault.message}"
  end

  def self.arguments(method, given)
    wanted = given["parameters"].transform_keys(&:to_sym)
    declared = method.parameters.select { |kind, _| %i[key keyreq].include?(kind) }.map(&:last)
    %w[secrets config execution].each do |part|
      wanted[part.to_sym] = given[part] if declared.include?(part.to_sym) && !wanted.key?(part.to_sym)
    end
    wanted
  end

  def self.call(file, name)
    given = JSON.parse($stdin.read, max_nesting: false)
    ARGV.clear
    load file
    unless Object.private_instance_methods(false).include?(name.to_sym)
      abort "attune: #{File.basename(file)} has no method #{name}"
    end
    method = TOPLEVEL_BINDING.receiver.method(name)
    value = method.call(**arguments(method, given))
    File.write(ENV.fetch("ATTUNE_RESULT_FILE"), encode(value)) unless value.nil?
  end
end

Attune.call(*ARGV.first(2))
