_base_ = ['./ballad_rn50.py']

model = dict(clip=dict(name='ViT-B-16-quickgelu'))
