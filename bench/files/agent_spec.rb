# The checks with Serverspec: a command and a pattern for each.
require 'json'
require 'serverspec'
require 'net/ssh'

set :backend, :ssh
set :disable_sudo, true
host = ENV['TARGET_HOST']
options = Net::SSH::Config.for(host, [File.join(__dir__, 'ssh_config')])
options[:verify_host_key] = :always
options[:use_agent] = false
set :host, options[:host_name] || host
set :ssh_options, options

JSON.parse(File.read(File.join(__dir__, 'checks.json'))).each do |name, line, expected|
  describe name do
    describe '|' do
      it(name) { expect(command(line).stdout.strip).to match(Regexp.new(expected)) }
    end
  end
end
