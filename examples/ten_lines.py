"""Train on structures of ethanol, and test on others."""

from amp import Amp
from amp.analysis import evaluate
from amp.descriptor.gaussian import Gaussian
from amp.model import LossFunction
from amp.model.neuralnetwork import NeuralNetwork

loss = LossFunction(convergence={"energy_rmse": 0.01, "force_rmse": 0.3})  # eV/atom, eV/Å
model = NeuralNetwork(hiddenlayers=(10, 10), lossfunction=loss, randomseed=0)
calc = Amp(Gaussian(cutoff=6.5), model, label="demo-run/ten-lines")
calc.train("examples/data/ethanol_train.extxyz", overwrite=True)
print(evaluate(calc, "examples/data/ethanol_test.extxyz").table())
