% Simulators in Octave, for Simulator(command=["octave-cli", "--norc", "--quiet", "model.m"], protocol="binary", shape=...). A whole program:
%
%   addpath(getenv("BAYESFLOW_PROGRAMS"));
%   bayesflow_simulate(@(parameters, context) parameters(1) + exp(parameters(2)) * randn(25, 2));
%
% simulate: a function of the parameters and the context, row vectors both, that returns numbers; its random numbers are Octave's (rand, randn,
% rande, randg, randp), which are set to the simulation's seed before each call. It must print to stderr (fprintf(stderr, ...)) only. Arrays arrive
% with Octave's axes. (Not lines of text: fgetl waits for the first byte of the next line.)
function bayesflow_simulate(simulate)
  while numel(head = fread(stdin, 4, "int64")) == 4
    values = fread(stdin, head(3) + head(4), "double").';
    rand("twister", head(2)); randn("twister", head(2) + 1); rande("twister", head(2) + 2); randg("twister", head(2) + 3); randp("twister", head(2) + 4);
    try
      data = simulate(values(1:head(3)), values(head(3) + 1:end));
      if !(isnumeric(data) || islogical(data)) || !isreal(data)
        error("the simulator must return real numbers; it returned %s", class(data));
      end
      data = permute(double(data), ndims(data):-1:1);  % the last axis first, as files and the networks have it
      fwrite(stdout, [head(1), numel(data)], "int64");
      fwrite(stdout, data, "double");
    catch failure
      fwrite(stdout, [head(1), -numel(failure.message)], "int64");
      fwrite(stdout, failure.message, "uint8");
    end
    fflush(stdout);
  end
end
